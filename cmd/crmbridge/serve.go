package main

import (
	"context"
	"fmt"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// serveCommand is the consumer.
type serveCommand struct {
	bridge.Settings
	Check bool `name:"check" help:"Read the settings, list every fault, and end: nothing is connected to."`
}

// Help shows examples.
func (c *serveCommand) Help() string {
	return `With --check the exit status is 0 where serve could begin with these settings, and 2 where it could not:
every fault is listed with its variable. 'crmbridge doctor' goes on from there and looks at NATS, Redis
and Entra ID too.

Examples:
  crmbridge serve
  crmbridge serve --check && echo restart it
`
}

// Run serves until SIGTERM or an interrupt, then ends in order.
func (c *serveCommand) Run(lasting *program.Lasting, std *stdio) error {
	if c.Check {
		return checkSettings(c.Settings, std)
	}
	settings, stderr := c.Settings, std.err // not the command line that they come from
	lasting.Do(func(ctx context.Context) error { return settings.Serve(ctx, stderr) })
	return nil
}

// checkSettings prints one line where serve could begin. Variables that look like mistyped ones
// do not keep it from that, since they may be another program's, nor do files that others may read.
func checkSettings(settings bridge.Settings, std *stdio) error {
	if _, err := settings.Config(); err != nil {
		return bridge.ConfigurationError(err)
	}
	warnings := settings.Exposed()
	for _, typo := range bridge.Mistyped() {
		warnings = append(warnings, typo.String())
	}
	for _, warning := range warnings {
		if _, err := fmt.Fprintf(std.err, "warning: %s\n", warning); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(std.out, "the settings are good")
	return err
}
