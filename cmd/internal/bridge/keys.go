package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/tokens"
)

// keysetLook is how often a key set's file is looked at for new keys.
const keysetLook = 2 * time.Second

// followKeyset lets a key set from a file take over what is put there later.
func followKeyset(keyset *tokens.Keyset, file string) {
	if keyset != nil && file != "" {
		keyset.Follow(func() ([]byte, error) { return readKeysetFile(file) })
	}
}

func readKeysetFile(file string) ([]byte, error) {
	text, err := files.Read(file, mostSecret)
	if err != nil {
		return nil, fmt.Errorf("TOKEN_KEYSET_FILE: %w", err)
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

// watchKeys looks for new keys until the process stops.
func (b *Bridge) watchKeys(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchKeyset(ctx, b.config.Keyset, b.log)
	}()
	b.onStop(func(context.Context) error { cancel(); <-ended; return nil })
}

// watchKeyset looks for new keys until ctx ends. What is wrong with a new file is
// logged once; the keys that were good go on being used.
func watchKeyset(ctx context.Context, keyset *tokens.Keyset, log *slog.Logger) {
	tick := time.NewTicker(keysetLook)
	defer tick.Stop()
	fault := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := keyset.Reload()
		switch {
		case err != nil && err.Error() != fault:
			fault = err.Error()
			log.Error("the new key set is not used", "error", err)
		case err == nil:
			fault = ""
		}
		if changed {
			log.Info("took over a new key set")
		}
	}
}

// checkKeys refuses to start with a key set that opens nothing of what is stored,
// and logs single records that do not open.
func checkKeys(ctx context.Context, store *tokens.Store, log *slog.Logger) error {
	tried, unopened, err := store.CheckKeys(ctx)
	switch {
	case errors.Is(err, tokens.ErrUnsealable):
		return ConfigurationError(err)
	case err != nil:
		return err
	case unopened > 0:
		log.Error("TOKEN_KEYSET does not open all stored connections; "+
			"requests for those fail with configuration_error", "tried", tried, "unopened", unopened)
	}
	return nil
}

// KeySettings are the settings of commands that work on the key set.
type KeySettings struct {
	TokenKeyset     string `name:"token-keyset" env:"TOKEN_KEYSET" placeholder:"JSON" help:"The key set."`
	TokenKeysetFile string `name:"token-keyset-file" env:"TOKEN_KEYSET_FILE" placeholder:"FILE" help:"File that holds the key set."`
}

// Text is the key set, "" where none is set.
func (s KeySettings) Text() ([]byte, error) {
	var r reader
	text := Settings{}.secret(&r, "TOKEN_KEYSET", s.TokenKeyset, s.TokenKeysetFile)
	if err := errors.Join(r.faults...); err != nil {
		return nil, ConfigurationError(err)
	}
	return []byte(text), nil
}

// OpenStore connects to the store of connections. The caller closes the client.
func (s KeySettings) OpenStore(redisURL, redisURLFile string) (*tokens.Store, redis.UniversalClient, error) {
	var r reader
	keyset := r.keyset(Settings{}.secret(&r, "TOKEN_KEYSET", s.TokenKeyset, s.TokenKeysetFile))
	options := r.redis(Settings{}.secret(&r, "REDIS_URL", redisURL, redisURLFile))
	if err := errors.Join(r.faults...); err != nil {
		return nil, nil, ConfigurationError(err)
	}
	client := redis.NewUniversalClient(options)
	return tokens.NewStore(client, keyset), client, nil
}
