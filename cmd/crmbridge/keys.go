package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

type keysCommands struct {
	Generate keysGenerate `cmd:"" help:"Print a new key set for TOKEN_KEYSET."`
	List     keysList     `cmd:"" help:"List the keys of a key set, without the keys."`
	Rotate   keysRotate   `cmd:"" help:"Print the key set with a new key; see --stage for a running fleet."`
	Reseal   keysReseal   `cmd:"" help:"Rewrite everything that is stored under the primary key, while crmbridge runs."`
	Remove   keysRemove   `cmd:"" help:"Print the key set without a key that is no longer needed."`
}

// Help shows examples.
func (c *keysCommands) Help() string {
	return `'crmbridge help keys' says in which order a fleet gets a new key.

Examples:
  (umask 077; crmbridge keys generate > keyset.json)
  crmbridge keys list --token-keyset-file keyset.json
`
}

type keysGenerate struct{}

// Help shows an example.
func (c *keysGenerate) Help() string {
	return `Whoever has the key set and Redis can read every customer's tokens: keep it where secrets are kept.

Example:
  (umask 077; crmbridge keys generate > keyset.json)
`
}

// Run prints a new key set.
func (c *keysGenerate) Run(std *stdio) error {
	keyset, err := tokens.GenerateKeyset()
	return printKeyset(std, keyset, err)
}

// keyset is a key set to work on: TOKEN_KEYSET, TOKEN_KEYSET_FILE, or stdin.
type keyset struct{ bridge.KeySettings }

// biggestKeyset bounds what is read from stdin.
const biggestKeyset = 64 << 10

func (k keyset) text() ([]byte, error) {
	text, err := k.Text()
	if err != nil || len(text) > 0 {
		return text, err
	}
	if term.IsTerminal(os.Stdin) {
		return nil, bridge.ConfigurationError(errors.New(
			"TOKEN_KEYSET: is missing; set it or TOKEN_KEYSET_FILE, or give the key set on stdin"))
	}
	if text, err = io.ReadAll(io.LimitReader(os.Stdin, biggestKeyset+1)); err != nil {
		return nil, fmt.Errorf("read the key set from stdin: %w", err)
	}
	return text, nil
}

// printKeyset prints a key set, the one thing of these commands that goes to
// stdout, so that it can be redirected into a file or a secret store.
func printKeyset(to *stdio, keyset []byte, err error) error {
	if err != nil {
		return bridge.ConfigurationError(err)
	}
	_, err = fmt.Fprintf(to.out, "%s\n", keyset)
	return err
}

type keysList struct {
	keyset
	JSON bool `name:"json" help:"Print JSON."`
}

// listedKey is a key as keys list shows it.
type listedKey struct {
	ID    uint32 `json:"id"`
	State string `json:"state"`
}

// Help shows examples.
func (c *keysList) Help() string {
	return `The key set is that of TOKEN_KEYSET_FILE or TOKEN_KEYSET, or comes on stdin.

Examples:
  crmbridge keys list
  crmbridge keys list --json | jq length
`
}

// Run lists the ids of the keys and what they do.
func (c *keysList) Run(to *stdio) error {
	text, err := c.text()
	if err != nil {
		return err
	}
	keys, err := tokens.Keys(text)
	if err != nil {
		return bridge.ConfigurationError(err)
	}
	var listed []listedKey
	var rows [][]string
	for _, k := range keys {
		state := "opens"
		switch {
		case k.Primary:
			state = "seals and opens (primary)"
		case !k.Enabled:
			state = "disabled"
		case k.Staged:
			state = "opens (staged)"
		}
		listed = append(listed, listedKey{k.ID, state})
		rows = append(rows, []string{fmt.Sprint(k.ID), state})
	}
	if c.JSON {
		return term.JSON(to.out, listed)
	}
	return term.Table(to.out, []string{"key id", "what it does"}, rows)
}

// changedKeyset is a key set that a command changes.
type changedKeyset struct {
	keyset
	Write bool `help:"Put the key set into TOKEN_KEYSET_FILE, in place of what is there, and print nothing."`
}

// apply changes the key set, and prints or writes it. Of two that write at once one is refused: it
// would undo what the other has done.
func (c changedKeyset) apply(to *stdio, change func(keyset []byte) ([]byte, error)) error {
	file := c.TokenKeysetFile
	if target, err := filepath.EvalSymlinks(file); err == nil && c.Write {
		file = target // a link stays one
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			return keysetNotWritten(fmt.Errorf("%s is no file", c.TokenKeysetFile))
		}
		lock, err := lockBeside(file)
		if err != nil {
			return keysetNotWritten(err)
		}
		defer lock.unlock()
	}
	text, err := c.text()
	if err != nil {
		return err
	}
	changed, err := change(text)
	if err != nil {
		return err
	}
	if !c.Write {
		return printKeyset(to, changed, nil)
	}
	if err := replaceShared(file, append(changed, '\n')); err != nil {
		return keysetNotWritten(err)
	}
	_, err = fmt.Fprintf(to.err, "%s has the key set\n", c.TokenKeysetFile)
	return err
}

func keysetNotWritten(err error) error {
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%w: the file is a mount by itself, as a container has it; write it where it comes from", err)
	}
	return bridge.ConfigurationError(fmt.Errorf("TOKEN_KEYSET_FILE: the key set cannot be written: %w", err))
}

// Validate refuses to write where there is no file.
func (c changedKeyset) Validate() error {
	if c.Write && c.TokenKeysetFile == "" {
		return errors.New("--write needs TOKEN_KEYSET_FILE or --token-keyset-file")
	}
	return nil
}

type keysRotate struct {
	changedKeyset
	Stage   bool `help:"Add a key that opens and does not seal yet: first step for a fleet." xor:"step"`
	Promote bool `help:"Let the staged key seal: second step, once every process has the staged key." xor:"step"`
}

// Help shows examples.
func (c *keysRotate) Help() string {
	return `Where several processes run, no one of them may seal under a key that another does not have: --stage
first, then --promote once all have taken it over. 'crmbridge help keys' has every step.

Examples:
  (umask 077; crmbridge keys rotate > keyset-new.json)
  crmbridge keys rotate --stage --write
`
}

// Run prints the rotated key set.
func (c *keysRotate) Run(to *stdio) error {
	change := tokens.RotateKeyset
	switch {
	case c.Stage:
		change = tokens.StageKey
	case c.Promote:
		change = tokens.PromoteKey
	}
	return c.apply(to, func(text []byte) ([]byte, error) {
		rotated, err := change(text)
		if err != nil {
			return nil, bridge.ConfigurationError(err)
		}
		return rotated, nil
	})
}

type keysRemove struct {
	changedKeyset
	KeyID        uint32 `name:"key-id" required:"" placeholder:"ID" help:"Id of the key, from 'crmbridge keys list'; not the primary one."`
	RedisURL     string `name:"redis-url" env:"REDIS_URL" placeholder:"URL" help:"Redis of the fleet, where nothing may be sealed under the key any more. Not looked at where it is not given."`
	RedisURLFile string `name:"redis-url-file" env:"REDIS_URL_FILE" placeholder:"FILE" help:"File that holds the Redis URL."`
}

// Help shows examples.
func (c *keysRemove) Help() string {
	return `Run 'crmbridge keys reseal' before: what is still sealed under a removed key is lost. With REDIS_URL a key
that is needed is not removed.

Examples:
  crmbridge keys remove --write \
    --key-id "$(crmbridge keys list --json | jq '.[] | select(.state == "opens").id')"
`
}

// Run prints the key set without the key, unless something needs it.
func (c *keysRemove) Run(ctx context.Context, to *stdio) error {
	return c.apply(to, func(text []byte) ([]byte, error) {
		left, err := tokens.RemoveKey(text, c.KeyID)
		if err != nil {
			return nil, bridge.ConfigurationError(err)
		}
		return left, c.unused(ctx, text, to.err)
	})
}

func (c *keysRemove) unused(ctx context.Context, text []byte, diag io.Writer) error {
	if c.RedisURL == "" && c.RedisURLFile == "" {
		_, err := fmt.Fprintf(diag,
			"REDIS_URL is not given, so nobody looked whether something is still sealed under key %d\n", c.KeyID)
		return err
	}
	store, client, err := bridge.KeySettings{TokenKeyset: string(text)}.OpenStore(c.RedisURL, c.RedisURLFile)
	if err != nil {
		return err
	}
	defer client.Close()
	bridge.QuietRedis(slog.New(slog.DiscardHandler)) // what fails is in the error
	return asMessage(store.CheckKeyUnused(ctx, c.KeyID))
}

type keysReseal struct {
	bridge.KeySettings
	RedisURL     string `name:"redis-url" env:"REDIS_URL" placeholder:"URL" help:"Redis of the fleet. Default redis://127.0.0.1:6379/0."`
	RedisURLFile string `name:"redis-url-file" env:"REDIS_URL_FILE" placeholder:"FILE" help:"File that holds the Redis URL."`
	JSON         bool   `name:"json" help:"Print the counts as JSON."`
}

// resealCounts are what a reseal has done.
type resealCounts struct {
	Records     int `json:"records"`
	Resealed    int `json:"resealed"`
	Connections int `json:"connections"`
	Tickets     int `json:"tickets"`
	States      int `json:"states"`
	Changes     int `json:"changes"`
	Unopened    int `json:"unopened"`
}

// Help shows examples.
func (c *keysReseal) Help() string {
	return `It may be run at any time, and again after it was interrupted.

Examples:
  crmbridge keys reseal
  crmbridge keys reseal --json | jq .unopened
`
}

// Run reseals and prints what it did, also where it did not get to the end.
func (c *keysReseal) Run(ctx context.Context, to *stdio) error {
	store, client, err := c.OpenStore(c.RedisURL, c.RedisURLFile)
	if err != nil {
		return err
	}
	defer client.Close()
	bridge.QuietRedis(slog.New(slog.DiscardHandler)) // what fails is in the error
	progress := to.bar("records seen", 0)
	defer progress.end()
	done, err := store.Reseal(ctx, func(r tokens.Resealed) {
		total := int64(r.Total)
		progress.of(&total)
		progress.set(int64(r.Seen))
	})
	progress.end()
	counts := resealCounts{done.Total, done.Resealed, done.Grants, done.Tickets, done.States, done.Changes,
		done.Unopened}
	if c.JSON {
		return errors.Join(term.JSON(to.out, counts), asMessage(err))
	}
	if done.Total == 0 && err != nil {
		return asMessage(err)
	}
	printed := term.Prose(to.out, 2, fmt.Sprintf(
		"%d records, %d resealed: %d connections, %d connect links, %d sign-ins, %d changes; %d do not open",
		counts.Records, counts.Resealed, counts.Connections, counts.Tickets, counts.States, counts.Changes,
		counts.Unopened))
	return errors.Join(printed, asMessage(err))
}

// asMessage keeps the code of an error of the store, for the first word on stderr.
func asMessage(err error) error {
	if fault, ok := errors.AsType[*tokens.Error](err); ok {
		return messages.Errorf(messages.Code(fault.Code), "%s", fault.Message).Because(err)
	}
	return err
}

type versionCommand struct {
	JSON bool `name:"json" help:"Print the version as JSON."`
}

// Help shows an example.
func (c *versionCommand) Help() string {
	return "Examples:\n  crmbridge version\n  crmbridge version --json\n"
}

// Run prints the version of this build.
func (c *versionCommand) Run(std *stdio) error {
	if c.JSON {
		return term.JSON(std.out, map[string]string{"version": bridge.Version()})
	}
	_, err := fmt.Fprintln(std.out, "crmbridge", bridge.Version())
	return err
}
