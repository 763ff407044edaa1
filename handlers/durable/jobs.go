package durable

import (
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// available fails where there is no durable lane, with the reason.
func (l *Lane) available() error {
	switch why := l.missing(); why {
	case "":
		return nil
	case notStarted:
		return messages.Errorf(messages.Unavailable, "this process is starting; ask again").After(time.Second)
	default:
		return messages.Errorf(messages.NotSupported, "this crmbridge runs no jobs: %s", why)
	}
}

// present is the incarnation of a connection, for an operation on its jobs.
func (l *Lane) present(ctx context.Context, connection string) (string, error) {
	if err := l.available(); err != nil {
		return "", err
	}
	return l.options.Connections.Incarnation(ctx, connection)
}

// noJob is the error where a connection has no job of an id.
func noJob() error {
	return messages.Errorf(messages.NotFound, "the connection has no job of this id; jobs are known for 7 days")
}

// asked words an error of an operation on jobs: what NATS did not answer may be asked again.
func asked(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, known := errors.AsType[*messages.Error](err); known {
		return err
	}
	if _, known := errors.AsType[*tokens.Error](err); known {
		return err
	}
	if _, panicked := errors.AsType[*dynamics.Panic](err); panicked {
		return err
	}
	if errors.Is(err, errNotReadable) {
		return messages.Errorf(messages.Internal,
			"what is stored of the job cannot be read: somebody else than crmbridge wrote it").Because(err)
	}
	return messages.Errorf(messages.Unavailable, "JetStream does not answer, or not as it should; try again").
		After(time.Second).Because(err)
}

// errNotReadable: something that is stored is not what crmbridge stores there.
var errNotReadable = errors.New("it is not of the form that crmbridge writes")

// ofIncarnation reports whether what carries an incarnation belongs to the present one. A
// record without one is of a job that has not begun.
func ofIncarnation(of, present string) bool { return of == "" || of == present }
