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
	config, err := c.Config()
	if err != nil {
		return bridge.ConfigurationError(err)
	}
	log := bridge.NewLog(std.err, config.LogLevel, config.LogFormat)
	bridge.QuietRedis(log)
	bridge.LimitMemory(config, log)
	return bridge.Serve(ctx, config, log)
}
