package bridge

import (
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

// QuietTraces sends what OpenTelemetry says of itself to the log in place of stderr. It says it
// where no caller could be told: of a variable that it cannot read, or of spans that a collector
// refused. Its errors and attributes hold what it was given, headers with secrets too, so that
// only their kind is logged.
func QuietTraces(log *slog.Logger) {
	otel.SetLogger(logr.New(traceLog{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { traceLog{log}.say("", err) }))
}

type traceLog struct{ log *slog.Logger }

func (l traceLog) say(what string, err error) {
	l.log.Warn("OpenTelemetry reports a fault", "of", what, "kind", fmt.Sprintf("%T", err))
}

// Init is told nothing of use.
func (l traceLog) Init(logr.RuntimeInfo) {}

// Enabled lets errors through only: they are not asked about.
func (l traceLog) Enabled(int) bool { return false }

// Info is not called, as nothing is enabled.
func (l traceLog) Info(int, string, ...any) {}

// Error logs what OpenTelemetry was about, a fixed text, and the kind of the error.
func (l traceLog) Error(err error, what string, _ ...any) { l.say(what, err) }

// WithValues drops the attributes.
func (l traceLog) WithValues(...any) logr.LogSink { return l }

// WithName has no use for a name.
func (l traceLog) WithName(string) logr.LogSink { return l }
