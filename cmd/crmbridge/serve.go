package main

import (
	"context"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// serveCommand is the consumer.
type serveCommand struct {
	bridge.Settings
}

// Run serves until SIGTERM or an interrupt, then ends in order.
func (c *serveCommand) Run(lasting *program.Lasting, std *stdio) error {
	settings, stderr := c.Settings, std.err // not the command line that they come from
	lasting.Do(func(ctx context.Context) error { return settings.Serve(ctx, stderr) })
	return nil
}
