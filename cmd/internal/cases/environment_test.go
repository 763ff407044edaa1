package cases

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// An environment answers as a step says, and as an emulator does what no step is
// about. Before the first step it is the emulator alone.
type environment struct {
	emulator http.Handler

	mu      sync.Mutex
	entries []*upstream // the first that matches counts
	origin  string
	calls   []call
}

// A call is one request that the environment received, decoded.
type call struct{ method, path, query string }

var collection = regexp.MustCompile(`(?i)/(accounts|contacts|leads|opportunities)$`)

// begin has a step's entries answer from now on, before those of earlier steps. What
// those said of rows was said to their own requests; metadata and users stay.
func (e *environment) begin(s step, origin string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var own []*upstream
	for i := range s.Upstream {
		u := s.Upstream[i]
		own = append(own, &u)
	}
	for _, u := range e.entries {
		if path, _, _ := strings.Cut(u.Path, "?"); !collection.MatchString(path) {
			own = append(own, u)
		}
	}
	e.entries, e.origin, e.calls = own, origin, nil
}

func (e *environment) made() []call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]call{}, e.calls...)
}

// rows are those that the entries tell of.
func (e *environment) rows() []map[string]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []map[string]any
	for _, u := range e.entries {
		for _, row := range rowsOf(u.body()) {
			if object, ok := row.(map[string]any); ok {
				out = append(out, object)
			}
		}
	}
	return out
}

func (e *environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		query = r.URL.RawQuery
	}
	u, values := e.find(r, query)
	switch {
	case u != nil:
		if strings.HasPrefix(r.URL.Path, "/api/data/") && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		u.answer(w, r, values)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/$batch"):
		e.batch(w, r)
	default:
		e.otherwise(w, r)
	}
}

func (e *environment) find(r *http.Request, query string) (*upstream, map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call{r.Method, r.URL.Path, query})
	for _, u := range e.entries {
		if values, ok := u.matches(r, query); ok {
			u.used++
			values["environment"] = e.origin
			return u, values
		}
	}
	return nil, nil
}

var (
	oneRow  = regexp.MustCompile(`/([a-z]+?)s\(([0-9a-fA-F-]{36})\)$`)
	related = regexp.MustCompile(`/[a-z]+\([0-9a-fA-F-]{36}\)/\w+$`)
)

// otherwise lets the emulator answer. A row that it has not is one of the case, with
// nothing known but its id, and related to nothing.
func (e *environment) otherwise(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/api/data/") {
		e.emulator.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	e.emulator.ServeHTTP(recorder, r)
	if recorder.Code == http.StatusNotFound {
		if m := oneRow.FindStringSubmatch(r.URL.Path); m != nil {
			_ = json.NewEncoder(w).Encode(map[string]any{m[1] + "id": m[2]})
			return
		}
		if related.MatchString(r.URL.Path) {
			_, _ = io.WriteString(w, `{"value":[]}`)
			return
		}
	}
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// batch answers each request of a $batch as if it had come alone.
func (e *environment) batch(w http.ResponseWriter, r *http.Request) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		http.Error(w, "not multipart", http.StatusBadRequest)
		return
	}
	const boundary = "batchresponse_00000000-0000-4000-8000-000000000000"
	var out bytes.Buffer
	parts := multipart.NewReader(r.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			break
		}
		inner, err := http.ReadRequest(bufio.NewReader(part))
		if err != nil {
			http.Error(w, "a part is no request", http.StatusBadRequest)
			return
		}
		if inner.URL.Host == "" {
			inner.URL.Host, inner.URL.Scheme = r.Host, "http"
		}
		inner.Header.Set("Authorization", r.Header.Get("Authorization"))
		inner.Host, inner.RemoteAddr = r.Host, r.RemoteAddr
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, inner.WithContext(r.Context()))
		fmt.Fprintf(&out, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 %d %s\r\n",
			boundary, recorder.Code, http.StatusText(recorder.Code))
		_ = recorder.Header().Write(&out)
		fmt.Fprintf(&out, "\r\n%s\r\n", recorder.Body)
	}
	fmt.Fprintf(&out, "--%s--\r\n", boundary)
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+boundary)
	_, _ = w.Write(out.Bytes())
}
