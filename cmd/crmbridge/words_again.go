package main

import (
	"cmp"
	"context"
	"time"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/messages"
)

// A connectAgain is the error of a connection for which a person must sign in again.
type connectAgain struct {
	error
	connection, url string // "" where it is not known
}

func (c *connectAgain) Unwrap() error { return c.error }

// command is what mends it, as it is typed; of nil with the names of its arguments.
func (c *connectAgain) command() string {
	if c == nil {
		c = &connectAgain{}
	}
	return "'crmbridge connect " + cmp.Or(c.connection, "ID") + " " + cmp.Or(c.url, "URL") + "'"
}

// AfterApply keeps which connection is asked about, and does what [bridge.ClientNATS] does.
func (c *client) AfterApply(parsed *kong.Context) error {
	for _, step := range parsed.Path {
		if step.Positional != nil && step.Positional.Name == "connection" {
			c.about = step.Positional.Target.String()
		}
	}
	return c.ClientNATS.AfterApply(parsed)
}

// again finds out with what the connection is made again, as far as that can be asked for.
func (a *asker) again(ctx context.Context, connection string) *connectAgain {
	const atMost = time.Second
	again := &connectAgain{connection: connection}
	if connection == "" {
		return again
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if known, err := a.client.Connection(ctx, connection); err == nil {
		again.url = known.EnvironmentURL
	}
	return again
}

// mustConnect reports whether a person must sign in before the same is answered.
func mustConnect(err error) bool {
	return isCode(err, messages.ReauthorizationRequired) || isCode(err, messages.ConsentRequired)
}
