package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
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
	// Tests mostly wait, each in a world of its own: more than one a core keep the cores
	// busy. A -parallel on the command line comes after this and counts.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
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
