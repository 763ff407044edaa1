package bridge

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// version is the release, a semantic version.
const version = "0.1.0"

// Version is the release and, where the build knows it, the revision.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return version + "+" + setting.Value[:min(12, len(setting.Value))]
			}
		}
	}
	return version
}

// ErrConfiguration marks errors that end a program with status 2.
var ErrConfiguration = errors.New("configuration")

// ErrUsage marks a command that was given something wrong; its text is shown as
// it is, and the program ends with status 2.
var ErrUsage = errors.New("usage")

// ConfigurationError marks err as wrong usage or configuration.
func ConfigurationError(err error) error { return fmt.Errorf("%w:\n%w", ErrConfiguration, err) }
