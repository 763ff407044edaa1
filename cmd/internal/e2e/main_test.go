package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(beTheFlooder) != "" {
		if err := flood(os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	bridgetest.Main(m, crmbridge)
}

// crmbridge is the program as far as these tests start it: serve, which takes its
// settings from the environment.
func crmbridge(args []string, _, stderr io.Writer) (status int) {
	var cli struct {
		Serve struct{ bridge.Settings } `cmd:""`
	}
	parser, err := kong.New(&cli)
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = cli.Serve.Settings.Serve(ctx, stderr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, bridge.ErrConfiguration):
		status = 2
	default:
		status = 1
	}
	fmt.Fprintln(stderr, err)
	return status
}

func readAll(response *http.Response) string {
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body) // what is missing shows in what the test looks for
	return text.String()
}
