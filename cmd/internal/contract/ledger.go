package contract

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/natstap"
	"github.com/crmbridge/crmbridge/messages"
)

// Bounds of what a ledger holds against the document, so that it costs little beside a flood.
const (
	// everyOne is how many requests, jobs, results … of one operation are all looked at; of those
	// behind them it is one of each oneOf.
	everyOne, oneOf = 500, 50
	// mostParts is how many messages of one answer are all looked at.
	mostParts = 50
	// mostWaiting bounds, in bytes, what waits to be looked at. What comes while it is full is not
	// looked at, and is counted.
	mostWaiting = 64 << 20
	// mostAsked bounds the requests that wait for an answer, and the jobs; mostKept is the same in
	// bytes of their bodies.
	mostAsked, mostKept = 20_000, 32 << 20
)

// serveName is what crmbridge's serve calls itself on NATS. Only what comes from there is held
// against the document as crmbridge's: tests send what no crmbridge would.
const serveName = "crmbridge"

// A Ledger holds what is published in a test against the document: requests and jobs with what they
// are answered with, results, records, dead letters and events.
//
// A request that the document calls invalid must not be answered as if it were valid, and one that
// it calls valid may be invalid_request only for a reason that no schema can say: see [Unsayable].
type Ledger struct {
	document func() (*Document, error)
	report   func(string)

	mu    sync.Mutex
	asked map[string][]*exchange // by reply subject
	many  int                    // in asked
	kept  int                    // bytes of bodies in asked and jobs
	jobs  map[string]*exchange   // by connection and id
	seen  map[string]int         // how many of a kind have come

	work    chan func(*Document)
	waiting int // bytes in work
	done    sync.WaitGroup
	counts  Counts
}

// Counts says how many messages were held against the document, by the document's name of the
// message, and what became of others.
type Counts struct {
	Held map[string]int
	// Refused are requests and jobs that were answered as invalid_request, by the reason that a
	// schema could not have said; "" is for those that the document calls invalid too.
	Refused map[string]int
	// PassedOver were not looked at: they are of a flood, or too many waited.
	PassedOver int
}

// Add adds others' counts.
func (c *Counts) Add(others Counts) {
	for from, into := range map[*map[string]int]*map[string]int{&others.Held: &c.Held, &others.Refused: &c.Refused} {
		for name, n := range *from {
			if *into == nil {
				*into = map[string]int{}
			}
			(*into)[name] += n
		}
	}
	c.PassedOver += others.PassedOver
}

// An exchange is a request or a job, and what is known of its answer.
type exchange struct {
	op      messages.Operation
	name    string // of the message in the document
	message natstap.Message
	plain   bool // its subject names no connection
	judged  bool // its first answer has come
	parts   int
}

// NewLedger is one that reports each fault to report, from a goroutine of its own. document is asked
// for when the first message comes.
func NewLedger(document func() (*Document, error), report func(string)) *Ledger {
	l := &Ledger{document: document, report: report, asked: map[string][]*exchange{}, jobs: map[string]*exchange{},
		seen: map[string]int{}, work: make(chan func(*Document), 1<<16),
		counts: Counts{Held: map[string]int{}, Refused: map[string]int{}}}
	l.done.Go(l.run)
	return l
}

// Close waits until everything that was heard has been held against the document. Nothing may be
// heard any more.
func (l *Ledger) Close() Counts {
	close(l.work)
	l.done.Wait()
	return l.counts
}

func (l *Ledger) run() {
	var document *Document
	var err error
	for task := range l.work {
		if document == nil && err == nil {
			if document, err = l.document(); err != nil {
				l.report(err.Error())
			}
		}
		if document != nil {
			task(document)
		}
	}
}

// Hear takes a message, in the order in which its sender published it.
func (l *Ledger) Hear(m natstap.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := strings.Split(m.Subject, ".")
	ours := m.Client == serveName
	switch {
	case part[0] != "crm":
		if ours {
			l.answer(m)
		}
	case len(part) > 3 && part[3] == "request":
		l.ask(m, messages.Operation(part[1]+"."+part[2]), len(part) == 4)
	case len(part) == 6 && part[3] == "job":
		l.publish(m, messages.Operation(part[1]+"."+part[2]), part[4]+"."+part[5])
	case !ours:
	case len(part) == 4 && part[1] == "results":
		l.result(m, part[2]+"."+part[3])
	case len(part) == 4 && part[1] == "state":
		l.say("record", m)
	case len(part) == 4 && part[1] == "dead":
		l.say("dead-letter", m)
	case part[1] == "events":
		l.say("event", m)
	}
}

// sampled counts a message of a kind, and says whether it is looked at.
func (l *Ledger) sampled(kind string) bool {
	l.seen[kind]++
	n := l.seen[kind]
	if n <= everyOne || n%oneOf == 0 {
		return true
	}
	l.counts.PassedOver++
	return false
}

// later has a message looked at outside of the sender's way.
func (l *Ledger) later(size int, task func(*Document)) {
	if l.waiting+size > mostWaiting {
		l.counts.PassedOver++
		return
	}
	select {
	case l.work <- func(d *Document) {
		task(d)
		l.mu.Lock()
		l.waiting -= size
		l.mu.Unlock()
	}:
		l.waiting += size
	default:
		l.counts.PassedOver++
	}
}

func (l *Ledger) held(name string) {
	l.mu.Lock()
	l.counts.Held[name]++
	l.mu.Unlock()
}

func (l *Ledger) ask(m natstap.Message, op messages.Operation, plain bool) {
	name := string(op) + ".request"
	if m.Reply == "" || !l.sampled(name) {
		return
	}
	if l.many >= mostAsked || l.kept+len(m.Body) > mostKept {
		l.counts.PassedOver++
		return
	}
	l.kept += len(m.Body)
	l.asked[m.Reply] = append(l.asked[m.Reply], &exchange{op: op, name: name, message: m, plain: plain})
	l.many++
}

// answer takes a message to a subject that is none of crmbridge's: an answer, or what it asks others.
func (l *Ledger) answer(m natstap.Message) {
	asked := l.asked[m.Subject]
	id := first(m.Header, messages.HeaderRequestID)
	at := slices.IndexFunc(asked, func(e *exchange) bool { // several may have one reply subject
		given := first(e.message.Header, messages.HeaderRequestID)
		return given == id || !messages.ValidRequestID(given) && len(asked) == 1
	})
	if at < 0 {
		return
	}
	e := asked[at]
	if first(m.Header, messages.HeaderPage) == "" || e.op == messages.JobsResults ||
		first(m.Header, messages.HeaderLast) != "" {
		l.asked[m.Subject] = append(asked[:at:at], asked[at+1:]...)
		l.kept -= len(e.message.Body)
		if l.many--; len(l.asked[m.Subject]) == 0 {
			delete(l.asked, m.Subject)
		}
	}
	l.judge(e, m)
	if e.parts++; e.parts > mostParts {
		l.counts.PassedOver++
		return
	}
	name := string(e.op) + ".reply"
	switch {
	case failed(m) && e.op == messages.JobsResults && first(m.Header, messages.HeaderPage) != "":
		name = "job-error" // as it is stored
	case failed(m):
		name = "error"
	}
	l.say(name, m)
}

// publish takes a job: the first of its id is the one that runs.
func (l *Ledger) publish(m natstap.Message, op messages.Operation, id string) {
	name := string(op) + ".job"
	if l.jobs[id] == nil && len(l.jobs) < mostAsked && l.kept+len(m.Body) <= mostKept {
		l.kept += len(m.Body)
		l.jobs[id] = &exchange{op: op, name: name, message: m}
	}
}

func (l *Ledger) result(m natstap.Message, id string) {
	e := l.jobs[id]
	if e == nil {
		return
	}
	l.judge(e, m)
	name := string(e.op) + ".result"
	if failed(m) {
		name = "job-error"
	}
	l.say(name, m)
}

// judge holds a request or a job against the document, and that against its first answer.
func (l *Ledger) judge(e *exchange, answer natstap.Message) {
	if e.judged {
		return
	}
	e.judged = true
	l.later(len(e.message.Body), func(d *Document) {
		if !d.messages[e.name] {
			return // of a table that only the test knows of
		}
		name := e.name
		if plain := string(e.op) + ".plain.request"; e.plain && d.messages[plain] {
			name = plain
		}
		l.held(name)
		fault := d.Asked(name, e.message.Header, e.message.Body)
		stored := e.op == messages.JobsResults && first(answer.Header, messages.HeaderPage) != "" // of a job's
		refused := code(answer) == messages.InvalidRequest && !stored
		switch {
		case fault != nil && !failed(answer):
			l.report(fmt.Sprintf("%s: the document calls it invalid (%v), and crmbridge answers it: %.1000s",
				e.message.Subject, fault, e.message.Body))
		case fault == nil && refused:
			var body messages.ErrorReply
			if err := json.Unmarshal(answer.Body, &body); err != nil || body.Error == nil {
				return // the answer is held against the document too
			}
			reason := Unsayable(body.Error)
			if reason == "" {
				l.report(fmt.Sprintf("%s: the document calls it valid, and crmbridge answers invalid_request, %q: %.1000s",
					e.message.Subject, body.Error.Message, e.message.Body))
			}
			l.refused(reason)
		case refused:
			l.refused("")
		}
	})
}

func (l *Ledger) refused(reason string) {
	l.mu.Lock()
	l.counts.Refused[reason]++
	l.mu.Unlock()
}

// say holds what crmbridge sends against the document.
func (l *Ledger) say(name string, m natstap.Message) {
	if !l.sampled(name) {
		return
	}
	l.later(len(m.Body), func(d *Document) {
		if strings.Contains(name, ".") && !d.messages[name] {
			return // of a table that only the test knows of
		}
		l.held(name)
		if name == "dead-letter" && (code(m) == messages.InvalidRequest || len(m.Body) == 0) {
			m.Body = []byte("{}") // the body may be no JSON at all, or nothing, which is an empty object
		}
		if err := d.Said(name, m.Header, m.Body); err != nil {
			l.report(fmt.Sprintf("%s: %s is not as the document has it: %v: %v %.1000s", m.Subject, name, err, m.Header, m.Body))
		}
	})
}

func first(header map[string][]string, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func code(m natstap.Message) messages.Code {
	return messages.Code(first(m.Header, messages.HeaderErrorCode))
}

func failed(m natstap.Message) bool { return code(m) != "" }
