package tokens

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// guard runs work in a goroutine of the package's own; a panic is logged and becomes an
// error, so that it ends this work and not the process. Its text could hold anything: only
// its type is logged.
func guard(log *slog.Logger, what, connection string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error(what+" panicked", "connection", connection, "panic", fmt.Sprintf("%T", p), "stack",
				string(debug.Stack()))
			err = newError(CodeInternal, what+" failed", fmt.Errorf("panic of type %T", p))
		}
	}()
	return work()
}
