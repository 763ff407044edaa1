package durable

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

const (
	// strangersMost bounds the jobs of unknown operations in memory. When these have become few
	// the next are read.
	strangersMost = 10_000
	strayBatch    = 2_000
	// aliensMost bounds the messages that are no jobs of which more than their number is kept.
	aliensMost = 10_000
)

// Strays are jobs that are left alone, and of which memory has no more than their number.
type strays struct {
	n       int
	from    uint64 // the first of them
	late    int    // of these, how many came while they were being read
	reading bool
}

// strand leaves a job alone until it expires: its operation is not known here, or its record
// has a newer form.
func (b *board) strand(key jobKey, w waiting) {
	w.gen = b.gen
	s, there := b.strangers[key]
	switch {
	case there && s.seq != w.seq: // another job of the same id
		b.aliens.add(w.seq, key.connection)
	case !there && (len(b.strangers) >= b.strangersMost || b.strays.n > 0 && w.seq >= b.strays.from):
		if b.strays.n == 0 || w.seq < b.strays.from {
			b.strays.from = w.seq
		}
		b.strays.n++
		b.strays.late++
	default:
		b.strangers[key] = w
	}
}

// A strayRead reads on jobs that are left alone.
type strayRead struct {
	from uint64
	most int
	gen  uint8
}

// nextStrays says from where on such jobs are to be read, if they are.
func (b *board) nextStrays() (strayRead, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.strays.n == 0 || b.strays.reading || len(b.strangers) > b.strangersMost/2 {
		return strayRead{}, false
	}
	b.strays.reading, b.strays.late = true, 0
	return strayRead{b.strays.from, b.strangersMost - len(b.strangers), b.gen}, true
}

// readStrays reads on jobs of unknown operations. next is where the reading goes on, 0 where it
// came to the end of the stream.
func (l *Lane) readStrays(ctx context.Context, r strayRead) (got []followed, next uint64, err error) {
	c, err := l.consumer(ctx, r.from, "")
	if err != nil {
		return nil, 0, err
	}
	defer l.forgetConsumer(c)
	for left := int(c.CachedInfo().NumPending); left > 0; {
		batch, err := c.Fetch(min(left, strayBatch), jetstream.FetchMaxWait(apiWait))
		if err != nil {
			return nil, 0, fmt.Errorf("ask for jobs: %w", err)
		}
		read := 0
		for msg := range batch.Messages() {
			about, err := msg.Metadata()
			if err != nil {
				return nil, 0, fmt.Errorf("a message of the follower: %w", err)
			}
			read++
			f, ok := l.followed(msg, about)
			if ok && !l.board.knows(f.op) {
				if len(got) == r.most {
					return got, f.seq, nil
				}
				got = append(got, f)
			}
		}
		if err := batch.Error(); err != nil {
			return nil, 0, err
		}
		if left -= read; read == 0 {
			break // some were deleted meanwhile
		}
	}
	return got, 0, nil
}

// strayed takes in what was read of jobs that are left alone.
func (b *board) strayed(r strayRead, got []followed, next uint64, err error, now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.strays
	if s.reading = false; err != nil || r.gen != b.gen || s.from != r.from {
		return
	}
	all := s.n
	s.n = 0 // these have their place now
	for i, f := range got {
		if full := b.takeIn(f, now); full != nil {
			got, next = got[:i], f.seq
			break
		}
	}
	if next != 0 {
		s.n, s.from = max(all-len(got), 1), next
	} else if s.late > 0 {
		s.n, s.from = s.late, r.from
	}
}

// Aliens are messages in the stream of jobs that are none: whoever may publish may have the
// server's acknowledgements sent there, and ids may be none. They are counted until the stream
// lets go of them.
type aliens struct {
	of   map[uint64]string // connections, as their subjects name them
	more int
}

func (a *aliens) add(seq uint64, connection string) {
	if len(a.of) >= aliensMost {
		a.more++
		return
	}
	if a.of == nil {
		a.of = map[uint64]string{}
	}
	a.of[seq] = connection
}

func (a *aliens) count() int { return len(a.of) + a.more }

// alien notes a message that is no job.
func (b *board) alien(seq uint64, subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	connection := ""
	if words := strings.Split(subject, "."); len(words) == 6 && messages.ValidConnection(words[4]) {
		connection = words[4]
	}
	b.aliens.add(seq, connection)
}

// knownFrom counts what is known of a connection's messages from a sequence on.
func (b *board) knownFrom(q *queue, from uint64) (n int) {
	count := func(seq uint64) {
		if seq >= from {
			n++
		}
	}
	for _, o := range q.open {
		count(o.seq)
	}
	for _, h := range q.others {
		count(h.seq)
	}
	for _, w := range q.delayed {
		count(w.seq)
	}
	for key, w := range b.strangers {
		if key.connection == q.connection {
			count(w.seq)
		}
	}
	for seq, connection := range b.aliens.of {
		if connection == q.connection {
			count(seq)
		}
	}
	return n
}
