package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// bareCommand is the bare loop: what crmbridge is measured beside. It is the fastest
// straightforward program that answers a request with the rows of one page: a goroutine per
// message, one HTTP call over kept connections with a fixed token, the page read into a pooled
// buffer, checked and cut down to what is wanted in one strict pass, and published. It has no
// contract: no errors for the requester, no deadline, no limits, no log of answers.
type bareCommand struct {
	NATS     string `name:"nats"`
	Upstream string
	Token    string
}

// bareSubject is the bare loop's, with the connection as last token.
const bareSubject = "bare.accounts.search.request."

// Run serves until a signal.
func (c *bareCommand) Run(ctx context.Context) error {
	endWithParent()
	defer profile("bare")()
	upstream, err := url.Parse(c.Upstream)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	nc, err := nats.Connect(c.NATS, nats.MaxReconnects(-1), nats.Name("bare"))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	b := &bare{nc: nc, upstream: upstream,
		header: http.Header{"Authorization": {"Bearer " + c.Token}, "Accept": {"application/json"},
			"Odata-Version": {"4.0"}, "Odata-Maxversion": {"4.0"},
			"Prefer": {`odata.maxpagesize=5000,odata.include-annotations="OData.Community.Display.V1.FormattedValue,Microsoft.Dynamics.CRM.lookuplogicalname"`}},
		transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute,
			DisableCompression: true,
			ReadBufferSize:     16 << 10}}
	sub, err := nc.QueueSubscribe(bareSubject+"*", "bare", func(m *nats.Msg) { go b.answer(m) })
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), nc.Flush()); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	<-ctx.Done()
	return nil
}

type bare struct {
	nc        *nats.Conn
	upstream  *url.URL
	header    http.Header // of every call; the transport reads it only
	transport *http.Transport
	works     sync.Pool
}

// A work is what one message needs, kept for the next one.
type work struct {
	body bytes.Buffer
	scan scanner
}

// answer answers one message. What goes wrong is written to standard error, and the requester
// waits in vain.
func (b *bare) answer(m *nats.Msg) {
	w, _ := b.works.Get().(*work)
	if w == nil {
		w = &work{scan: scanner{wanted: bareWanted}}
	}
	if err := b.read(m, w); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
	}
	b.works.Put(w)
}

// bareWanted are what the bare loop passes on, and under which names: every column, and the
// labels and names that crmbridge gives too.
var bareWanted = map[string]string{
	"accountid": "id", "name": "name", "address1_city": "city", "websiteurl": "website",
	"numberofemployees": "employees", "revenue": "revenue",
	"industrycode": "industry", "industrycode@" + formatted: "industry_label",
	"_ownerid_value": "owner", "_ownerid_value@" + formatted: "owner_name",
	"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "owner_entity",
	"createdon": "created_at", "donotemail": "do_not_email",
}

var bareValue = []byte(`"value":"`)

func (b *bare) read(m *nats.Msg, w *work) error {
	_, value, found := bytes.Cut(m.Data, bareValue)
	end := bytes.IndexByte(value, '"')
	if !found || end < 0 {
		return errors.New("the request has no value")
	}
	filter := strings.ReplaceAll("name eq '"+string(value[:end])+"'", " ", "%20")
	response, err := b.transport.RoundTrip(&http.Request{Method: http.MethodGet, Host: b.upstream.Host,
		Header: b.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{Scheme: b.upstream.Scheme, Host: b.upstream.Host, Path: stubPath,
			RawQuery: "$select=" + speedColumns + "&$filter=" + filter}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	w.body.Reset()
	if response.ContentLength > 0 && response.ContentLength < 64<<20 {
		w.body.Grow(int(response.ContentLength) + bytes.MinRead) // ReadFrom wants that much more to see the end
	}
	if _, err = w.body.ReadFrom(io.LimitReader(response.Body, 64<<20)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the upstream answers %s", response.Status)
	}
	return b.publish(m.Reply, w)
}

// publish sends the rows, in as many messages as it takes, once all of the page is checked.
func (b *bare) publish(reply string, w *work) error {
	w.scan.in, w.scan.most = w.body.Bytes(), int(b.nc.MaxPayload())
	if err := w.scan.page(); err != nil {
		return err
	}
	for _, part := range w.scan.parts {
		if err := b.nc.Publish(reply, w.scan.out[part.from:part.to]); err != nil {
			return err
		}
	}
	return nil
}
