package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Searches wait for a slot of their user, for their turn or for a slow answer, in two
// processes, while their connection is deleted: none of them delivers a row, and
// nothing more is asked of the environment, although it answers again. (Searches that
// wait for each other's call are tested where single flights are.)
func TestNoRowsOfADeletedConnection(t *testing.T) {
	bridgetest.Long(t, "it deletes connections under load")
	t.Parallel()
	var arrived atomic.Int64
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	var held atomic.Bool
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 100}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if held.Load() && strings.HasPrefix(r.URL.Path, "/api/data/") {
				arrived.Add(1)
				<-release
			}
			next.ServeHTTP(w, r)
		})
	})
	for _, first := range []bool{true, false} {
		settings := w.Settings(first)
		settings.UserConcurrency = "2" // of both together; each has two searches in hand
		w.Bridge(settings, nil)
	}
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}}
	for range 20 { // from here on metadata is known, most likely in both
		if _, err := client.Accounts().Search(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	held.Store(true)
	var searches sync.WaitGroup
	var gone atomic.Int64
	for i := range 8 {
		searches.Go(func() {
			in := in
			in.PageSize = messages.Count(i + 1)
			page, err := client.Accounts().Search(t.Context(), in)
			fault, ok := errors.AsType[*messages.Error](err)
			switch {
			case ok && fault.Code == messages.ConnectionNotFound:
				gone.Add(1)
			case ok && fault.Code == messages.Overloaded: // it was not begun
			default:
				t.Errorf("after the deletion was answered: %v, %v", page, err)
			}
		})
	}
	bridgetest.Await(t, "two calls under way", func() error {
		if n := arrived.Load(); n < 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // what messages/README.md#connections gives a process to notice it
	before := arrived.Load()
	free()
	searches.Wait()
	if n := arrived.Load(); n > before {
		t.Errorf("%d calls arrived in the environment, and %d until a second after the deletion", n, before)
	}
	if gone.Load() == 0 {
		t.Error("no search was under way while the connection was deleted")
	}
}
