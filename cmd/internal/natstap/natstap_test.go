package natstap_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/cmd/internal/natstap"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A heard list is what a tap told of.
type heard struct {
	mu  sync.Mutex
	all []natstap.Message
}

func (h *heard) hear(m natstap.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, m)
}

func (h *heard) messages() []natstap.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

func tapped(t *testing.T) (*natstap.Tap, *heard) {
	t.Helper()
	s := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	h := &heard{}
	tap, err := natstap.Listen(s.ClientURL(), h.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	})
	return tap, h
}

func connect(t *testing.T, url, name string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.Name(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Messages of every size and form come to the server as they are, and are heard as they are.
func TestWhatIsPublishedIsHeard(t *testing.T) {
	tap, h := tapped(t)
	nc := connect(t, tap.URL, "campaigns")
	sub, err := nc.SubscribeSync("a.>")
	if err != nil {
		t.Fatal(err)
	}
	var sent []*nats.Msg
	for i, size := range []int{0, 1, 100, 4096, 65535, 65536, 65537, 900_000} {
		msg := nats.NewMsg(fmt.Sprint("a.", i))
		msg.Data = bytes.Repeat([]byte("x\r\nPUB b 1\r\n"), size/12+1)[:size]
		if i%2 == 1 {
			msg.Reply = "r"
		}
		if i%3 > 0 {
			msg.Header = nats.Header{"Crm-Request-Id": {"one"}, "Many": {"a: b", "c"}, "Empty": {""}}
		}
		sent = append(sent, msg)
		if err := nc.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range sent {
		got, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got.Subject != want.Subject || got.Reply != want.Reply || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s came as %s %s with %d bytes", want.Subject, got.Subject, got.Reply, len(got.Data))
		}
	}
	all := h.messages()
	if len(all) != len(sent) {
		t.Fatalf("%d messages were heard of %d", len(all), len(sent))
	}
	for i, want := range sent {
		got := all[i]
		if got.Client != "campaigns" || got.Subject != want.Subject || got.Reply != want.Reply ||
			!bytes.Equal(got.Body, want.Data) || fmt.Sprint(got.Header) != fmt.Sprint(map[string][]string(want.Header)) {
			t.Errorf("%s: heard %s %s %s %v and %d bytes", want.Subject, got.Client, got.Subject, got.Reply, got.Header,
				len(got.Body))
		}
	}
}

// Who asks where nobody listens is told so at once: the tap is no listener.
func TestNobodyListens(t *testing.T) {
	tap, h := tapped(t)
	nc := connect(t, tap.URL, "")
	if _, err := nc.Request("crm.accounts.search.request", []byte("{}"), time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("%v, want no responders", err)
	}
	if all := h.messages(); len(all) != 1 || all[0].Subject != "crm.accounts.search.request" ||
		!strings.HasPrefix(all[0].Reply, "_INBOX.") {
		t.Errorf("heard %v", all)
	}
}

// A server that is gone is gone for the tap's clients too.
func TestTheServerIsGone(t *testing.T) {
	tap, err := natstap.Listen("nats://127.0.0.1:1", func(natstap.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	if nc, err := nats.Connect(tap.URL); err == nil {
		nc.Close()
		t.Error("there is a connection to nothing")
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
}
