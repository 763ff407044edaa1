package e2e

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// While requests hang in an environment, further ones are refused at once and told when
// to come again, however they hang: each in a call of its own, in one that they share,
// or waiting for metadata. When it answers again, everybody is let through.
func TestAHangingEnvironmentIsNoticed(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "calls must hang for seconds to be noticed")
	var hanging hang
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 10}, hanging.wrap(emulator.DefaultUser))
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	kinds := []string{"own", "shared", "metadata"}
	for _, kind := range kinds {
		w.Connect(kind)
	}
	search := func(kind string, size int) (*messages.AccountsPage, error) {
		if kind != "own" {
			size = 1
		}
		return client.Search(t.Context(), messages.AccountsSearchRequest{
			Target: messages.Target{Connection: kind}, PageSize: messages.Count(size)})
	}
	for _, kind := range kinds[:2] { // the third knows no metadata yet
		if _, err := search(kind, 1); err != nil {
			t.Fatal(err)
		}
	}
	release := hanging.begin()
	var requests sync.WaitGroup
	for _, kind := range kinds {
		for i := range 12 {
			requests.Go(func() { _, _ = search(kind, i+1) }) // until it is released
		}
	}
	for _, kind := range kinds {
		bridgetest.Await(t, "a refusal of "+kind, func() error {
			refused := make(chan error, 1)
			requests.Go(func() { _, err := search(kind, 20); refused <- err })
			select {
			case err := <-refused:
				fault, ok := errors.AsType[*messages.Error](err)
				if !ok || fault.Code != messages.Unavailable || fault.RetryAfter() <= 0 {
					return fmt.Errorf("answered with %v", err)
				}
				return nil
			case <-time.After(500 * time.Millisecond):
				return errors.New("it waits")
			}
		})
	}
	release()
	requests.Wait()
	for _, kind := range kinds {
		bridgetest.Await(t, "an answer for "+kind, func() error {
			_, err := search(kind, 1)
			return err
		})
	}
}
