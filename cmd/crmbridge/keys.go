package main

import (
	"fmt"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/tokens"
)

type keysCommands struct {
	Generate keysGenerate `cmd:"" help:"Print a new key set for TOKEN_KEYSET."`
}

type keysGenerate struct{}

// Run prints a new key set.
func (c *keysGenerate) Run(term *terminal) error {
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.out, "%s\n", keyset)
	return err
}

type versionCommand struct{}

// Run prints the version of this build.
func (c *versionCommand) Run(term *terminal) error {
	_, err := fmt.Fprintln(term.out, "crmbridge", bridge.Version())
	return err
}
