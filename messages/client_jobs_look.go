package messages

import (
	"bytes"
	"cmp"
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

// found is what a look for the job has found.
type found int

const (
	foundUnknown found = iota // nobody could say
	foundNot
	foundSame
)

// look finds out whether a job is known under this one's id. crmbridge knows also those that
// have ended; where none answers, the stream has the job as long as it has not ended. The
// error is that it is another job.
//
// crmbridge is asked first, since a user of a deployment may lack every right to JetStream's
// API: what is not permitted there is not answered, and is reported as an error of the
// connection.
func (p *publication) look(ctx context.Context) (found, error) {
	asking, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	job, err := p.client.Jobs().Get(asking, p.job.Connection, p.job.ID)
	p.unsupported = nil
	switch fault, answered := errors.AsType[*Error](err); {
	case err == nil && (job.Operation != p.job.Operation || job.Digest != "" && job.Digest != p.digest()):
		return foundSame, p.another(job.Operation)
	case err == nil && (job.Digest != "" || !p.given):
		return foundSame, nil
	case answered && (fault.Code == NotFound || fault.Code == ConnectionNotFound):
		return foundNot, nil
	case answered && fault.Code == NotSupported:
		p.unsupported = fault
	}
	stored, answered := p.stored(ctx)
	switch {
	case stored != nil && !bytes.Equal(stored.Data, p.msg.Data):
		return foundSame, p.another(p.job.Operation)
	case stored != nil, err == nil:
		return foundSame, nil
	case answered && !p.given: // it cannot have ended without a crmbridge
		return foundNot, nil
	}
	return foundUnknown, nil
}

func (p *publication) digest() string { return JobDigest(p.msg.Subject, p.msg.Data) }

// stored is the job's message in CRM_JOBS, nil where there is none. answered says that the
// stream has answered.
func (p *publication) stored(ctx context.Context) (msg *nats.Msg, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	msg, err := p.client.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+JobsStream+"."+p.msg.Subject, nil)
	if err != nil {
		return nil, false
	}
	status := cmp.Or(msg.Header.Get("Status"), "200")
	if status != "200" {
		return nil, status == "404"
	}
	return msg, true
}

// another is the error for an id that is taken.
func (p *publication) another(op Operation) error {
	return Invalid("job_id", "%s names another job already, of %s; choose another id", p.job.ID,
		Printable(string(op)))
}
