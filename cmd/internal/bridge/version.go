package bridge

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// version is the release, a semantic version.
const version = "0.1.0"

// revision is the commit, where the linker is told (-X), as by deploy/Dockerfile, which
// builds without a repository.
var revision string

// Version is the release and, where the build knows it, the revision.
func Version() string {
	commit := revision
	if info, ok := debug.ReadBuildInfo(); ok && commit == "" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				commit = setting.Value
			}
		}
	}
	if commit == "" {
		return version
	}
	return version + "+" + commit[:min(12, len(commit))]
}

// ErrConfiguration marks errors that end a program with status 2.
var ErrConfiguration = errors.New("configuration")

// ErrUsage marks a command that was given something wrong; its text is shown as
// it is, and the program ends with status 2.
var ErrUsage = errors.New("usage")

// ConfigurationError marks err as wrong usage or configuration.
func ConfigurationError(err error) error { return fmt.Errorf("%w:\n%w", ErrConfiguration, err) }
