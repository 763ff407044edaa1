package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// stubCommand is an upstream in a process of its own: the emulated Entra ID and Dataverse, of
// which one path answers with a page that was made before.
type stubCommand struct {
	Port, Users int
	Redirect    string
}

// stubPath is the path whose answer is fixed, stubControl the one by which that is said: rows
// and delay of a page, and how many pages there are. Its answer is how many were sent.
const (
	stubPath    = "/api/data/v9.2/accounts"
	stubControl = "/_stub"
	stubToken   = "&$skiptoken="
)

// Run serves until it is killed.
func (c *stubCommand) Run(ctx context.Context) error {
	endWithParent()
	defer profile("stub")()
	origin := "http://" + devenv.Address(c.Port)
	entra, err := emulator.New(emulator.Options{Accounts: -1, Contacts: -1, Users: people(c.Users), RedirectURIs: []string{c.Redirect},
		Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", devenv.Address(c.Port))
	if err != nil {
		return fmt.Errorf("listen for the stub: %w", err)
	}
	web := &http.Server{Handler: &stub{origin: origin, rest: entra}, ReadHeaderTimeout: 10 * time.Second}
	end := context.AfterFunc(ctx, func() { _ = web.Close() })
	defer end()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the stub: %w", err)
	}
	return nil
}

// A stub answers one path with a fixed page and everything else as the emulator does.
type stub struct {
	origin string
	rest   http.Handler
	fixed  atomic.Pointer[stubAnswer] // nil: the emulator answers
	served atomic.Int64
}

// A stubAnswer is shared by all requests; nothing of it is written to.
type stubAnswer struct {
	body   []byte
	length []string
	delay  time.Duration
	pages  int
}

// Headers of a page, as the emulated Dataverse sends them.
var (
	stubContentType = []string{"application/json; odata.metadata=minimal"}
	stubVersion     = []string{"4.0"}
	stubRequests    = []string{"5999"}
	stubTime        = []string{"1,200.00"}
)

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == stubControl {
		s.control(w, r)
		return
	}
	fixed := s.fixed.Load()
	if fixed == nil || r.URL.Path != stubPath || r.Method != http.MethodGet {
		s.rest.ServeHTTP(w, r)
		return
	}
	if len(r.Header["Authorization"]) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if fixed.delay > 0 && !sleep(r.Context(), fixed.delay) {
		return // who asked is gone
	}
	h := w.Header()
	h["Content-Type"], h["Content-Length"], h["Odata-Version"] = stubContentType, fixed.length, stubVersion
	h["X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests"], h["X-Ms-Ratelimit-Time-Remaining-Xrm-Requests"] = stubRequests, stubTime
	body, link := fixed.body, ""
	if fixed.pages > 1 {
		if body, link = s.linked(fixed, r.URL.RawQuery); link != "" {
			h["Content-Length"] = []string{strconv.Itoa(len(body) + len(link))}
		}
	}
	_, err := w.Write(body)
	if err == nil && link != "" {
		_, err = w.Write([]byte(link))
	}
	if err == nil {
		s.served.Add(1)
	}
}

// linked is a page of several, and what follows on its rows where it is not the last.
func (s *stub) linked(fixed *stubAnswer, query string) (body []byte, link string) {
	query, token, _ := strings.Cut(query, stubToken)
	page := 1
	if n, err := strconv.Atoi(token); err == nil {
		page = n
	}
	if page >= fixed.pages {
		return fixed.body, ""
	}
	return fixed.body[:len(fixed.body)-1], fmt.Sprintf(`,"@odata.nextLink":"%s%s?%s%s%d"}`, s.origin, stubPath, query, stubToken, page+1)
}

// control sets what is answered from now on.
func (s *stub) control(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		rows, err := strconv.Atoi(r.FormValue("rows"))
		pages, many := strconv.Atoi(r.FormValue("pages"))
		delay, late := time.ParseDuration(r.FormValue("delay"))
		if err := errors.Join(err, many, late); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body := stubPage(s.origin+"/", rows)
		s.fixed.Store(&stubAnswer{body: body, length: []string{strconv.Itoa(len(body))}, delay: delay, pages: pages})
	}
	fmt.Fprint(w, s.served.Load())
}

// startStub starts the upstream as a process, in place of an emulator in this one.
func (w *world) startStub() error {
	port, err := w.port()
	if err != nil {
		return err
	}
	w.emulatorURL = "http://" + devenv.Address(port)
	if w.stub, err = itself("stub", w.folder, nil, "stub", "--port="+strconv.Itoa(port), "--users="+strconv.Itoa(len(w.options.Users)),
		"--redirect="+w.options.RedirectURIs[0]); err != nil {
		return err
	}
	w.onStop(func() error { w.stub.kill(); return nil })
	if err := w.stub.start(); err != nil {
		return err
	}
	err = await(w.ctx, 30*time.Second, "the stub", func(ctx context.Context) error { _, err := w.stubSays(ctx, nil); return err })
	if err != nil {
		return fmt.Errorf("%w; its log ends with:\n%s", err, w.stub.tail(2000))
	}
	w.say("Dataverse: a stub in a process of its own; pages are fixed, sign-in and metadata are emulated")
	return nil
}

// setStub sets what the stub sends from now on.
func (w *world) setStub(rows, pages int, delay time.Duration) error {
	_, err := w.stubSays(w.ctx, url.Values{"rows": {strconv.Itoa(rows)}, "pages": {strconv.Itoa(pages)}, "delay": {delay.String()}})
	if err != nil {
		return fmt.Errorf("set the stub: %w", err)
	}
	return nil
}

// stubSays asks the stub how many pages it has sent and, with a form, sets what it sends.
func (w *world) stubSays(ctx context.Context, form url.Values) (served int64, err error) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, w.emulatorURL+stubControl+"?"+form.Encode(), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = fmt.Fscan(response.Body, &served)
	return served, err
}
