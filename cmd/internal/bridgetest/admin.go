package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// AdminPage is what an admin page answers.
func AdminPage(address, path string) (status int, text string, err error) {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// AwaitReadyz waits for a status of /readyz?verbose whose page contains text.
func AwaitReadyz(t testing.TB, settings bridge.Settings, status int, text string) {
	t.Helper()
	Await(t, "readyz", func() error {
		got, page, err := AdminPage(settings.AdminAddr, "/readyz?verbose")
		if err != nil || got != status || !strings.Contains(page, text) {
			return fmt.Errorf("%w: %d, want %d with %q: %s", errors.Join(errors.New("readyz"), err), got, status, text, page)
		}
		return nil
	})
}

// Serving runs bridge.Serve in this process until it is stopped; stop returns how
// it ended.
func Serving(t testing.TB, settings bridge.Settings) (stop func() error) {
	t.Helper()
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bridge.Serve(ctx, config, slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() }) // the test has looked at it, or failed
	AwaitReadyz(t, settings, http.StatusOK, "[+]draining ok")
	return stop
}
