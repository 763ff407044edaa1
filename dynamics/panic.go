package dynamics

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Panic is the error that a panic becomes in a goroutine of a request's own: it ends
// that request, and not the process with every other request in flight. It is nobody's
// fault but this program's, and not an [Error].
type Panic struct {
	// Kind is the text of a runtime error, else the type of what was thrown: its text
	// could hold anything.
	Kind string
	// Stack is where it happened, for a log.
	Stack string
}

// Error names the kind.
func (p *Panic) Error() string { return "a defect in this program: " + p.Kind }

// Guard returns work with its panics as errors of type [*Panic]. It stands wherever a
// request starts a goroutine, since no recover of the request's own sees those.
func Guard(work func() error) func() error {
	return func() (err error) {
		defer func() {
			if thrown := recover(); thrown != nil {
				err = Panicked(thrown)
			}
		}()
		return work()
	}
}

// Panicked makes the error of what recover returned, in the function that recovers.
func Panicked(thrown any) *Panic {
	return &Panic{Kind: panicKind(thrown), Stack: string(debug.Stack())}
}

func panicKind(thrown any) string {
	if err, ok := thrown.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", thrown)
}
