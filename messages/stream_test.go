package messages_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

func search() messages.SearchRequest {
	return messages.SearchRequest{Target: messages.Target{Connection: "acme"}}
}

// A stream's answer is written as words: a number is a page of that number, with
// ! the last one, "-" a page without a number, "error" and "error9" an error
// without and with a number, "bad" a page that is no JSON.
func (b *bus) play(to *nats.Msg, script string) {
	for word := range strings.FieldsSeq(script) {
		switch {
		case word == "-":
			b.reply(to, `{"accounts":[]}`)
		case word == "bad":
			b.reply(to, `{"accounts":"x"}`, messages.HeaderPage, "1")
		case strings.HasPrefix(word, "error"):
			headers := []string{messages.HeaderErrorCode, "throttled"}
			if number := strings.TrimPrefix(word, "error"); number != "" {
				headers = append(headers, messages.HeaderPage, number, messages.HeaderLast, "true")
			}
			b.reply(to, `{"error":{"code":"throttled","message":"wait","retryable":true}}`, headers...)
		case strings.HasSuffix(word, "!"):
			b.reply(to, `{"accounts":[],"next_cursor":"more"}`, messages.HeaderPage, strings.TrimSuffix(word, "!"), messages.HeaderLast, "true")
		default:
			b.reply(to, `{"accounts":[]}`, messages.HeaderPage, word)
		}
	}
}

func TestClientStream(t *testing.T) {
	for _, test := range []struct {
		name, script string
		pages        int
		code         messages.Code
		message      string
	}{
		{"gap", "1 3 4!", 1, messages.Unavailable, "message 2 of the answer is missing"},
		{"first one lost", "2 3!", 0, messages.Unavailable, "message 1 of the answer is missing"},
		{"last one after a gap", "1 2 5!", 2, messages.Unavailable, "message 3"},
		{"repeated", "1 1 2!", 1, messages.Unavailable, "message 2"},
		{"no number", "1 - 2!", 1, messages.Unavailable, "message 2"},
		{"number in another form", "01 2!", 0, messages.Unavailable, "message 1"},
		{"error in mid-stream", "1 2 error3", 2, messages.Throttled, "wait"},
		{"error before the request was read", "error", 0, messages.Throttled, "wait"},
		{"error after a gap", "1 error9", 1, messages.Throttled, "wait"},
		{"not an answer", "bad", 0, "", "not what crmbridge sends"},
		{"one page", "1!", 1, "", ""},
		{"twelve pages", "1 2 3 4 5 6 7 8 9 10 11 12!", 12, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBus(t)
			b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) {
				if !strings.Contains(string(msg.Data), `"mode":"stream"`) {
					t.Errorf("asked %s", msg.Data)
				}
				b.play(msg, test.script)
			})
			var last *messages.Page
			var fault error
			pages := 0
			for page, err := range b.client.Accounts().Stream(t.Context(), search()) {
				if fault != nil {
					t.Fatal("it goes on after an error")
				}
				if fault = err; err == nil {
					pages, last = pages+1, page
				}
			}
			if pages != test.pages || codeOf(fault) != test.code {
				t.Errorf("%d pages, %v; want %d, %s", pages, fault, test.pages, test.code)
			}
			if test.message != "" && (fault == nil || !strings.Contains(fault.Error(), test.message)) {
				t.Errorf("%v, want %q", fault, test.message)
			}
			if test.message == "" && (fault != nil || last.NextCursor != "more") {
				t.Errorf("%v, last page %+v", fault, last)
			}
			b.settled(0)
		})
	}
}

func TestClientStreamWithoutResponders(t *testing.T) {
	b := newBus(t)
	rounds := 0
	for _, err := range b.client.Accounts().Stream(t.Context(), search()) {
		if rounds++; codeOf(err) != messages.Unavailable || !errors.Is(err, nats.ErrNoResponders) {
			t.Error(err)
		}
	}
	if rounds != 1 {
		t.Errorf("%d rounds", rounds)
	}
	b.settled(0)
}

func TestClientStreamStoppedEarly(t *testing.T) {
	b := newBus(t)
	stopped := make(chan struct{})
	done := make(chan struct{})
	b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) {
		defer close(done)
		b.play(msg, "1 2")
		<-stopped
		for page := 3; page < 100; page++ {
			b.play(msg, strconv.Itoa(page))
		}
	})
	before := b.server.NumSubscriptions()
	for page, err := range b.client.Accounts().Stream(t.Context(), search()) {
		if err != nil || page == nil {
			t.Fatal(err)
		}
		if b.requester.NumSubscriptions() != 1 {
			t.Errorf("%d subscriptions in mid-stream", b.requester.NumSubscriptions())
		}
		break
	}
	close(stopped)
	<-done
	b.settled(0)
	if err := b.requester.Flush(); err != nil { // the server has read the unsubscription by then
		t.Fatal(err)
	}
	if after := b.server.NumSubscriptions(); after != before {
		t.Errorf("the server holds %d subscriptions, %d before", after, before)
	}
}

func TestClientStreamCancelled(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) { b.play(msg, "1") })
	rounds := 0
	for page, err := range b.client.Accounts().Stream(ctx, search()) {
		rounds++
		switch {
		case page != nil:
			cancel()
		case !errors.Is(err, context.Canceled):
			t.Errorf("cancelled: %v", err)
		}
	}
	if rounds != 2 {
		t.Errorf("%d rounds", rounds)
	}
	b.settled(0)
}

// long answers with pages of 60 KB, and has them all at the requester before done is closed.
func (b *bus) long(pages int) (done <-chan struct{}) {
	all := make(chan struct{})
	b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) {
		defer close(all)
		body := `{"accounts":[{"name":"` + strings.Repeat("x", 60_000) + `"}]}`
		for page := 1; page <= pages; page++ {
			headers := []string{messages.HeaderPage, strconv.Itoa(page)}
			if page == pages {
				headers = append(headers, messages.HeaderLast, "true")
			}
			b.reply(msg, body, headers...)
			if page%100 > 0 && page < pages {
				continue
			}
			if err := errors.Join(b.responder.Flush(), b.requester.Flush()); err != nil {
				b.t.Error(err)
			}
		}
	})
	return all
}

// A reader who is slower than the answer comes gets all of it, also after the time
// that the answer had.
func TestClientStreamReadSlowly(t *testing.T) {
	b := newBus(t)
	const pages = 1300 // 78 MB; nats.go keeps 64 unless it is told otherwise
	all := b.long(pages)
	read := 0
	for _, err := range b.client.Accounts().Stream(t.Context(), search()) {
		if err != nil {
			t.Fatalf("after %d pages: %v", read, err)
		}
		if read++; read == 1 {
			<-all
		}
	}
	if read != pages {
		t.Errorf("%d pages, want %d", read, pages)
	}
	b.settled(0)
}

// What a reader lets wait is bounded, and the error says by what.
func TestClientStreamBuffer(t *testing.T) {
	b := newBus(t)
	all := b.long(100)
	var fault error
	read := 0
	for _, err := range b.client.WithStreamBuffer(1<<20).Accounts().Stream(t.Context(), search()) {
		if fault = err; err == nil {
			read++
			<-all
		}
	}
	if codeOf(fault) != messages.Unavailable || !errors.Is(fault, nats.ErrSlowConsumer) || !strings.Contains(fault.Error(), "1048576 bytes") {
		t.Errorf("after %d pages: %v", read, fault)
	}
	b.settled(0)
}

// A reader who has ended the context gets nothing more, also of what has arrived.
func TestClientStreamCancelledWithPagesLeft(t *testing.T) {
	b := newBus(t)
	b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) { b.play(msg, "1 2 3!") })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pages, faults := 0, 0
	for _, err := range b.client.Accounts().Stream(ctx, search()) {
		if err != nil {
			if faults++; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			continue
		}
		pages++
		if err := errors.Join(b.responder.Flush(), b.requester.Flush()); err != nil { // all three have arrived
			t.Fatal(err)
		}
		cancel()
	}
	if pages != 1 || faults != 1 {
		t.Errorf("%d pages and %d errors", pages, faults)
	}
}
