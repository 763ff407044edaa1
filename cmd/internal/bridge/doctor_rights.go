package bridge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// refusals are what the server has reported to be forbidden.
type refusals struct {
	mu   sync.Mutex
	said []string
	full bool   // max_subscriptions is reached
	stop func() // called with each, where it is not nil: nobody will answer
}

func (r *refusals) hear(_ *nats.Conn, _ *nats.Subscription, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, err.Error())
	r.full = r.full || errors.Is(err, nats.ErrMaxSubscriptionsExceeded)
	if r.stop != nil {
		r.stop()
	}
}

// within is a context that ends with the next refusal, and whether there has been one.
func (r *refusals) within(ctx context.Context) (_ context.Context, denied func() bool) {
	ctx, stop := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = stop
	before := len(r.said)
	return ctx, func() bool {
		defer stop()
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.said) > before
	}
}

var refusedSubject = regexp.MustCompile(`(Subscription|Publish) to "(\S+)"`)

// of are the subjects that have been refused so: "Subscription" or "Publish".
func (r *refusals) of(what string) (subjects []string, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.said {
		if m := refusedSubject.FindStringSubmatch(text); m != nil && m[1] == what {
			subjects = append(subjects, m[2])
		}
	}
	return subjects, r.full
}

// settle waits until the server has worked through what it was sent.
func (d *Doctor) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	if err := d.nats.FlushWithContext(ctx); err != nil {
		return err
	}
	time.Sleep(refusalWait) // the client calls the error handler in a goroutine of its own
	return nil
}

// checkSubscriptions makes each subscription that serve needs and ends it at once. A request
// that comes in that moment is answered: try again. It reports whether answers are heard.
func (d *Doctor) checkSubscriptions(ctx context.Context, refused *refusals) (hears bool) {
	requests, others := d.subscriptions()
	for _, subject := range requests {
		sub, err := d.nats.QueueSubscribe(subject, messages.QueueGroup, turnAway)
		if err == nil {
			err = sub.Drain() // the next that the server reads; what came is still answered
		}
		if err != nil {
			d.failed("nats.subscribe", err.Error(), natsPage)
			return false
		}
	}
	for _, subject := range others {
		if sub, err := d.nats.Subscribe(subject, func(*nats.Msg) {}); err == nil {
			_ = sub.Unsubscribe() // fails only where the connection is gone, which the next line finds
		}
	}
	if err := d.settle(ctx); err != nil {
		d.failed("nats.subscribe", "the server does not answer: "+cause(err), natsPage)
		return false
	}
	denied, full := refused.of("Subscription")
	hears = !slices.Contains(denied, others[len(others)-1])
	switch {
	case full:
		d.failed("nats.subscribe", "max_subscriptions is reached",
			fmt.Sprintf("raise max_subscriptions of server and account to %d or more", len(requests)+len(others)+1))
	case len(denied) > 0:
		remedy := fmt.Sprintf("let it subscribe to %s, as deploy/nats.conf does; see "+natsPage,
			strings.Join(patterns(denied), ", "))
		if prefix := d.config.NATS.InboxPrefix; !hears && prefix != "" && prefix != consumerInboxes {
			remedy = "unset NATS_INBOX_PREFIX, which is another user's, and " + consumerInboxes + " is used; or " + remedy
		}
		d.failed("nats.subscribe", "this NATS user may not subscribe to "+listed(denied), remedy)
	default:
		d.passed("nats.subscribe", "all %d subscriptions are allowed", len(requests)+len(others))
	}
	return hears
}

// subscriptions are the subjects of requests, and the others, of which the last is an inbox.
func (d *Doctor) subscriptions() (requests, others []string) {
	for _, op := range messages.Operations(d.config.Tables) {
		requests = append(requests, op.ScopedSubject("*"))
		if !d.config.RequireScoped || op.Entity() == messages.ConnectionsGet.Entity() {
			requests = append(requests, op.Subject())
		}
	}
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		others = append(others, "$SRV."+verb, "$SRV."+verb+".crmbridge", "$SRV."+verb+".crmbridge.*")
	}
	return requests, append(others, messages.StateSubjects, d.nats.NewInbox()+".*")
}

// turnAway answers a request that came to the doctor.
func turnAway(msg *nats.Msg) {
	if !strings.HasPrefix(msg.Reply, "_INBOX.") && !strings.HasPrefix(msg.Reply, "_R_.") {
		return
	}
	fault := messages.Errorf(messages.Overloaded, "this was no crmbridge that serves; try again").After(time.Second)
	call := route.Call{RequestID: msg.Header.Get(messages.HeaderRequestID),
		Connection: messages.ConnectionFromSubject(msg.Subject)}
	header := nats.Header{messages.HeaderRequestID: {call.RequestID}}
	if body, err := route.ErrorMessage(call, header, fault, usualPayload); err == nil {
		_ = msg.RespondMsg(&nats.Msg{Header: header, Data: body}) // the requester's time-out tells it otherwise
	}
}

// patterns are permissions that allow the subjects, each once.
func patterns(subjects []string) []string {
	var all []string
	for _, subject := range subjects {
		tokens := strings.Split(subject, ".")
		switch {
		case tokens[0] == "crm" && len(tokens) > 3 && tokens[3] == "request":
			tokens[2] = "*"
		case tokens[0] == "$SRV":
			tokens = []string{"$SRV", ">"}
		case tokens[0] == "_INBOX":
			tokens = append(tokens[:len(tokens)-2], ">")
		default:
			for i, token := range tokens {
				if token == doctorToken {
					tokens[i] = "*"
				}
			}
		}
		if pattern := `"` + strings.Join(tokens, ".") + `"`; !slices.Contains(all, pattern) {
			all = append(all, pattern)
		}
	}
	return all
}

// listed names a few.
func listed(subjects []string) string {
	const most = 3
	text := strings.Join(subjects[:min(len(subjects), most)], ", ")
	if more := len(subjects) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

const (
	// doctorToken stands for ids in subjects.
	doctorToken = "crmbridge-doctor"
	// reservedReply is a reply subject that no client may use. A server looks at it after it
	// has found that the client may publish to the subject, and delivers nothing: see
	// processInboundClientMsg in https://github.com/nats-io/nats-server/blob/main/server/client.go.
	reservedReply = "$JS.ACK." + doctorToken
)

// checkPublishing reports whether crmbridge may ask JetStream.
func (d *Doctor) checkPublishing(ctx context.Context, refused *refusals, hears bool) (asks bool) {
	answers, api, stored := d.publications()
	for _, subject := range slices.Concat(answers, api, stored) {
		if err := d.nats.PublishRequest(subject, reservedReply, nil); err != nil {
			d.failed("nats.publish", err.Error(), natsPage)
			return false
		}
	}
	if err := d.settle(ctx); err != nil {
		d.failed("nats.publish", "the server does not answer: "+cause(err), natsPage)
		return false
	}
	denied, _ := refused.of("Publish")
	within := func(subjects []string) (out []string) {
		for _, subject := range subjects {
			if slices.Contains(denied, subject) {
				out = append(out, subject)
			}
		}
		return out
	}
	const remedy = "let it publish to %s, as deploy/nats.conf does; see " + natsPage
	noAnswers, noAPI, noStored := within(answers), within(api), within(stored)
	asks = len(noAPI) == 0
	var missing []string
	if len(noAnswers) == len(answers) { // users' inboxes may be allowed one by one
		for _, subject := range d.config.ReplySubjects {
			missing = append(missing, `"`+subject+`"`)
		}
	}
	if asks && hears && d.absentJetStream(ctx) {
		noStored = nil // nobody could store it
	}
	missing = append(missing, patterns(slices.Concat(noAPI, noStored))...)
	if len(missing) > 0 {
		d.failed("nats.publish", "this NATS user may not publish to "+listed(missing),
			fmt.Sprintf(remedy, strings.Join(missing, ", ")))
		return asks
	}
	d.passed("nats.publish", "answers, events and jobs are allowed")
	return asks
}

// publications are subjects to which serve publishes: answers, questions to JetStream, and
// what is stored there, with what is asked about it.
func (d *Doctor) publications() (answers, api, stored []string) {
	for _, pattern := range d.config.ReplySubjects {
		subject := strings.NewReplacer("*", doctorToken, ">", doctorToken).Replace(pattern)
		if strings.HasPrefix(subject, "_R_.") {
			subject += "." + doctorToken
		}
		answers = append(answers, subject)
	}
	api = []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES"}
	for _, stream := range []string{messages.EventsStream, messages.JobsStream, messages.ResultsStream,
		messages.StateStream, messages.DeadStream} {
		api = append(api, "$JS.API.STREAM.INFO."+stream)
		stored = append(stored, "$JS.API.STREAM.CREATE."+stream)
		if stream == messages.EventsStream {
			continue
		}
		for _, verb := range []string{"STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PURGE"} {
			stored = append(stored, "$JS.API."+verb+"."+stream)
		}
		stored = append(stored, "$JS.API.DIRECT.GET."+stream)
	}
	for _, verb := range []string{"CREATE", "INFO", "MSG.NEXT", "DELETE"} {
		stored = append(stored, "$JS.API.CONSUMER."+verb+"."+messages.JobsStream+"."+doctorToken)
	}
	stored = append(stored, messages.EventSubject(messages.EventConnected, doctorToken))
	ids := strings.NewReplacer("*", doctorToken)
	for _, subject := range slices.Concat([]string{messages.ResultSubjects, messages.StateSubjects,
		messages.DeadSubjects}, messages.JobSubjects(d.config.Tables)) {
		stored = append(stored, ids.Replace(subject))
	}
	return answers, api, stored
}
