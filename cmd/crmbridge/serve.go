package main

import (
	"context"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// serveCommand is the consumer.
type serveCommand struct {
	bridge.Settings
}

// Run serves until SIGTERM or an interrupt, then ends in order.
func (c *serveCommand) Run(ctx context.Context, std *stdio) error {
	return c.Serve(ctx, std.err)
}
