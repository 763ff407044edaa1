package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
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
func crmbridge(args []string, stdout, stderr io.Writer) (status int) {
	var cli struct {
		Serve serveCommand `cmd:""`
	}
	return program.Program{Name: "crmbridge", Commands: &cli}.Run(args, stdout, stderr)
}

type serveCommand struct{ bridge.Settings }

func (c *serveCommand) Run(ctx context.Context) error { return c.Serve(ctx, os.Stderr) }

func readAll(response *http.Response) string {
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body) // what is missing shows in what the test looks for
	return text.String()
}
