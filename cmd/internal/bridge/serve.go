package bridge

import (
	"context"
	"io"
)

// Serve serves with these settings until ctx ends, then ends in order. It sets the
// process's memory limit, and logs to stderr.
func (s Settings) Serve(ctx context.Context, stderr io.Writer) error {
	config, err := s.Config()
	if err != nil {
		return ConfigurationError(err)
	}
	log, flush := OpenLog(stderr, config.LogLevel, config.LogFormat)
	defer flush()
	QuietRedis(log)
	LimitMemory(config, log)
	return Serve(ctx, config, log)
}
