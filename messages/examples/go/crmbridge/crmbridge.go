// Package crmbridge is what the examples share: the connection to NATS, and the end. Settings:
// NATS_URL, NATS_USER with NATS_PASSWORD or NATS_CREDS (a file), NATS_INBOX_PREFIX, and CONNECTION
// (demo).
package crmbridge

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"
)

// Connection is the customer's environment that an example asks for.
var Connection = cmp.Or(os.Getenv("CONNECTION"), "demo")

// Run runs an example, and ends the program with its status. Ctrl-C ends ctx.
func Run(example func(ctx context.Context, nc *nats.Conn) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := connected(ctx, example)
	switch {
	case ctx.Err() != nil:
		os.Exit(130) // as the shell has it for SIGINT
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connected(ctx context.Context, example func(ctx context.Context, nc *nats.Conn) error) error {
	options := []nats.Option{nats.Name("crmbridge example"), nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")),
		nats.CustomInboxPrefix(cmp.Or(os.Getenv("NATS_INBOX_PREFIX"), "_INBOX"))}
	if file := os.Getenv("NATS_CREDS"); file != "" {
		options = append(options, nats.UserCredentials(file))
	}
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), options...)
	if err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	defer nc.Close()
	return example(ctx, nc)
}
