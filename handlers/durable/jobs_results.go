package durable

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Page is one message of a job's results, as it is stored.
//
// A message is found without a consumer. Whoever reads one page asks for the next, so that
// where the last one was is kept; the next one of the subject after it is one look-up. Any
// other page is looked for between the first and the last one of the subject.
func (l *Lane) Page(ctx context.Context, connection, id string, page int) (route.Part, error) {
	incarnation, err := l.present(ctx, connection)
	if err != nil {
		return route.Part{}, err
	}
	f := finder{lane: l, key: jobKey{connection, id}, incarnation: incarnation, page: page}
	found, err := f.find(ctx)
	for range again {
		if !errors.Is(err, errStoredSince) {
			break
		}
		found, err = f.find(ctx)
	}
	if err != nil {
		return route.Part{}, asked(ctx, err)
	}
	l.places.keep(f.key, place{incarnation: incarnation, page: page, sequence: found.Sequence})
	return route.Part{Body: found.Data, Header: readersHeader(found), Last: true}, nil
}

// readersHeader are the headers of a stored message that readers get: those of the contract.
// The checkpoint is not for them, and the request id of the reply is the reader's own.
func readersHeader(msg *jetstream.RawStreamMsg) route.Header {
	header := route.Header{}
	for name, values := range msg.Header {
		switch {
		case name == messages.HeaderCheckpoint, name == messages.HeaderRequestID:
		case strings.HasPrefix(name, "Crm-"), name == messages.HeaderContentEncoding,
			name == messages.HeaderServiceError, name == messages.HeaderServiceErrorCode,
			name == messages.HeaderTraceParent, name == messages.HeaderTraceState:
			header[name] = values
		}
	}
	return header
}

// A finder looks for a page of a job's results.
type finder struct {
	lane        *Lane
	key         jobKey
	incarnation string
	page        int
}

// most bounds the messages that are read for one page. Halving what lies between two pages
// takes about 40 at the most.
const most = 100

// again is how often a page is looked for that was not there, and is when it is asked whether
// it will come.
const again = 3

// errStoredSince: the page was stored while it was looked for.
var errStoredSince = errors.New("the page was stored while it was looked for")

func (f *finder) find(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	if at, ok := f.lane.places.of(f.key, f.incarnation); ok && at.page < f.page && f.page-at.page <= 2 {
		for {
			msg, page, err := f.next(ctx, at.sequence+1)
			if err != nil {
				return nil, err
			}
			if page == f.page {
				return msg, nil
			}
			if msg == nil || page > f.page || page <= at.page {
				break // it is not there yet, or something is missing
			}
			at.page, at.sequence = page, msg.Sequence
		}
	}
	first, low, err := f.next(ctx, 1)
	switch {
	case err != nil:
		return nil, err
	case first == nil:
		return nil, f.absent(ctx)
	case low == f.page:
		return first, nil
	case low > f.page:
		return nil, f.tooOld(low)
	}
	last, high, err := f.last(ctx)
	switch {
	case err != nil:
		return nil, err
	case last == nil || high < f.page:
		return nil, f.absent(ctx)
	case high == f.page:
		return last, nil
	}
	return f.between(ctx, low, first.Sequence, high, last.Sequence)
}

// between looks for the page between two others, by turns where it should be if pages were
// stored evenly, and in the middle.
func (f *finder) between(ctx context.Context, low int, from uint64, high int, to uint64) (*jetstream.RawStreamMsg,
	error) {
	for n := range most {
		if high-low <= 1 || to-from <= 1 {
			break
		}
		guess := from + (to-from)/2
		if n%2 == 0 {
			guess = from + uint64(float64(to-from)*float64(f.page-low)/float64(high-low))
		}
		guess = min(max(guess, from+1), to-1)
		msg, page, err := f.next(ctx, guess)
		switch {
		case err != nil:
			return nil, err
		case page == f.page:
			return msg, nil
		case msg == nil || page > f.page || msg.Sequence >= to:
			to = guess // nothing of the subject lies between the guess and there
			if msg != nil && page > f.page {
				high = page
			}
		default:
			low, from = page, msg.Sequence
		}
	}
	return nil, messages.Errorf(messages.NotFound, "page %d is missing, and pages before and after it are stored: "+
		"results were lost; run the job again under another id", f.page)
}

// next is the first message of the results from a sequence on that belongs to them, and its
// page; nil where there is none.
func (f *finder) next(ctx context.Context, from uint64) (*jetstream.RawStreamMsg, int, error) {
	for range most {
		msg, err := direct(ctx, f.lane.js, messages.ResultsStream,
			directAsk{NextBySubject: messages.ResultSubject(f.key.connection, f.key.id), Sequence: from})
		if err != nil || msg == nil {
			return nil, 0, err
		}
		if err := route.Reserve(ctx, len(msg.Data)); err != nil {
			return nil, 0, err
		}
		if page, ok := f.ours(msg); ok {
			return msg, page, nil
		}
		from = msg.Sequence + 1
	}
	return nil, 0, nil
}

// last is the last message of the results; where a replica has less than is asked for, that of
// the leader.
func (f *finder) last(ctx context.Context) (*jetstream.RawStreamMsg, int, error) {
	subject := messages.ResultSubject(f.key.connection, f.key.id)
	msg, err := direct(ctx, f.lane.js, messages.ResultsStream, directAsk{LastBySubject: subject})
	if err != nil {
		return nil, 0, err
	}
	if msg != nil {
		if page, ok := f.ours(msg); ok && page >= f.page {
			return msg, page, nil
		}
	}
	if msg, err = lastOf(ctx, f.lane.js, messages.ResultsStream, subject); err != nil || msg == nil {
		return nil, 0, err
	}
	page, ok := f.ours(msg)
	if !ok {
		return nil, 0, nil
	}
	return msg, page, route.Reserve(ctx, len(msg.Data))
}

// ours reports whether a message belongs to the results, and its page.
func (f *finder) ours(msg *jetstream.RawStreamMsg) (int, bool) {
	s, err := readStored(msg)
	return s.page, err == nil && ofIncarnation(s.incarnation, f.incarnation)
}

// tooOld is the error of a page that is not stored any more.
func (f *finder) tooOld(first int) error {
	return messages.Errorf(messages.NotFound, "page %d is not stored any more; the first one that is has number %d",
		f.page, first)
}

// absent is the error of a page after the last one: whether it will come.
func (f *finder) absent(ctx context.Context) error {
	v, err := f.lane.view(ctx, f.key, f.incarnation)
	switch {
	case err != nil:
		return err
	case !v.there():
		return noJob()
	case v.last.page >= f.page:
		return errStoredSince
	case v.lost:
		return messages.Errorf(messages.NotFound, "page %d is not stored: results were lost; run the job again under "+
			"another id", f.page)
	case v.ended() && v.last.page == 0 && f.page <= v.record.Pages:
		return messages.Errorf(messages.NotFound, "page %d is not stored any more, nor is any other of the job", f.page)
	case v.ended():
		return messages.Errorf(messages.NotFound, "the job has ended with page %d", max(v.last.page, v.record.Pages))
	}
	fault := messages.Errorf(messages.NotFound, "page %d is not stored yet; the job goes on", f.page)
	fault.Retryable = true
	return fault.After(time.Second)
}

// places keep where the page of a job is that was read last.
type places struct {
	mu    sync.Mutex
	known map[jobKey]place
}

// A place is where a page is.
type place struct {
	incarnation string
	page        int
	sequence    uint64
}

// placesKept bounds the jobs whose last page is known, at about 200 B each.
const placesKept = 10_000

func (p *places) of(key jobKey, incarnation string) (place, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.known[key]
	return at, ok && at.incarnation == incarnation
}

func (p *places) keep(key jobKey, at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= placesKept {
		p.known = map[jobKey]place{} // the next reader of each looks for its page once
	}
	p.known[key] = at
}
