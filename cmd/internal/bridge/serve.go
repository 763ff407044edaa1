package bridge

import (
	"context"
	"io"
	"runtime"
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
	QuietTraces(log)
	LimitMemory(config, log)
	if config.PprofAddr == "" {
		runtime.MemProfileRate = 0 // what nobody can ask for is not sampled
	}
	return Serve(ctx, config, log)
}
