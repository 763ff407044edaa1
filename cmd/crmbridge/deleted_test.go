package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/world"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Searches wait for a slot, for each other's call or for a slow answer while their
// connection is deleted: none of them delivers a row, and nothing more is asked of the
// environment, although it answers again.
func TestNoRowsOfADeletedConnection(t *testing.T) {
	var arrived atomic.Int64
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	var held atomic.Bool
	w := world.NewWrapped(t, emulator.Options{Accounts: 100}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if held.Load() && strings.HasPrefix(r.URL.Path, "/api/data/") {
				arrived.Add(1)
				<-release
			}
			next.ServeHTTP(w, r)
		})
	})
	settings := w.Settings(true)
	settings.UserConcurrency = "2"
	w.Bridge(settings, nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.AccountsSearchRequest{Target: messages.Target{Connection: "acme"}}
	if _, err := client.Search(t.Context(), in); err != nil {
		t.Fatal(err) // from here on metadata is known
	}
	held.Store(true)
	var searches sync.WaitGroup
	for i := range 12 { // of each kind three are alike
		searches.Go(func() {
			in := in
			in.PageSize = messages.Count(i/3 + 1)
			page, err := client.Search(t.Context(), in)
			fault, ok := errors.AsType[*messages.Error](err)
			if !ok || fault.Code != messages.ConnectionNotFound {
				t.Errorf("after the deletion was answered: %v, %v", page, err)
			}
		})
	}
	world.Await(t, "two calls under way", func() error {
		if n := arrived.Load(); n < 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // what the contract gives a process to hear of it
	free()
	searches.Wait()
	if n := arrived.Load(); n > 2 {
		t.Errorf("%d calls arrived in the environment, and two before the deletion", n)
	}
}
