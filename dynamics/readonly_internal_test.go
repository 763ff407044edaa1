package dynamics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// Whatever a mistake in this package might build, only what reads leaves it: the
// client's own way out is asked to send what it must not, and the server hears
// nothing.
func TestOnlyWhatReadsIsSent(t *testing.T) {
	var heard atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	hosts, err := NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(server.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Config{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	part := func(lines ...string) string {
		return "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
			strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	get := part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts?$top=1&x=%zz HTTP/1.1",
		"Accept: application/json", "")
	const end, batch = "--b--\r\n", "/api/data/v9.2/$batch"
	for _, c := range []struct {
		name, method, path, kind, body string
		header                         []string
		sent                           bool
	}{
		{"a GET", "GET", "/api/data/v9.2/accounts", "", "", nil, true},
		{"a batch of one GET", "POST", batch, "", get + end, nil, true},
		{"a batch of two GETs", "POST", batch, "", get + get + end, nil, true},
		{"a GET with a body", "GET", "/api/data/v9.2/accounts", "", "x", nil, false},
		{"a GET that is something else", "GET", "/api/data/v9.2/accounts", "", "", []string{"X-HTTP-Method-Override", "DELETE"}, false},
		{"a POST", "POST", "/api/data/v9.2/accounts", "", "{}", nil, false},
		{"a POST without a body", "POST", batch, "", "", nil, false},
		{"a DELETE", "DELETE", "/api/data/v9.2/accounts(1)", "", "", nil, false},
		{"a PATCH", "PATCH", "/api/data/v9.2/accounts(1)", "", "{}", nil, false},
		{"a PUT", "PUT", batch, "", get + end, nil, false},
		{"HEAD", "HEAD", "/api/data/v9.2/accounts", "", "", nil, false},
		{"a batch elsewhere", "POST", "/api/data/v9.2/x/$batch", "", get + end, nil, false},
		{"an action named like a batch", "POST", "/api/data/v9.2/x$batch", "", get + end, nil, false},
		{"a batch with a PATCH", "POST", batch, "", get + part("PATCH https://o.crm.dynamics.com/api/data/v9.2/accounts(1) HTTP/1.1", "") + end, nil, false},
		{"a batch with a DELETE first", "POST", batch, "", part("DELETE https://o.crm.dynamics.com/api/data/v9.2/accounts(1) HTTP/1.1", "") + get + end, nil, false},
		{"a GET in lower case", "POST", batch, "", part("get https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "") + end, nil, false},
		{"a GET with another method", "POST", batch, "", part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "X-HTTP-Method: DELETE", "") + end, nil, false},
		{"a GET with a body in a batch", "POST", batch, "", part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "Content-Length: 2", "", "{}") + end, nil, false},
		{"a GET that announces a body", "POST", batch, "", part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "Content-Length: 2", "") + end, nil, false},
		{"a GET with a body in chunks", "POST", batch, "", part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "Transfer-Encoding: chunked", "") + end, nil, false},
		{"a batch with a query", "POST", batch + "?x=1", "", get + end, nil, false},
		{"a second request behind a GET", "POST", batch, "", part("GET https://o.crm.dynamics.com/api/data/v9.2/accounts HTTP/1.1", "", "DELETE https://o.crm.dynamics.com/ HTTP/1.1", "") + end, nil, false},
		{"a change set", "POST", batch, "", get + "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--\r\n" + end, nil, false},
		{"a part that is no request", "POST", batch, "", strings.Replace(get, "application/http", "text/plain", 1) + end, nil, false},
		{"a batch with too much behind it", "POST", batch, "", get + end + strings.Repeat(" ", maxGuarded), nil, false},
		{"a batch without an end", "POST", batch, "", get, nil, false},
		{"a batch without parts", "POST", batch, "", end, nil, false},
		{"a batch of another kind", "POST", batch, "application/json", "{}", nil, false},
		{"an endless batch", "POST", batch, "", get + strings.Repeat(" ", maxGuarded), nil, false},
	} {
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, body)
		if err != nil {
			t.Fatal(err)
		}
		if c.kind == "" && c.method == "POST" {
			c.kind = `multipart/mixed; boundary="b"`
		}
		r.Header.Set("Content-Type", c.kind)
		if c.header != nil {
			r.Header.Set(c.header[0], c.header[1])
		}
		before := heard.Load()
		answer, err := client.out.RoundTrip(r)
		if err == nil {
			back, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if string(back) != c.body {
				t.Errorf("%s: sent %q", c.name, back)
			}
		}
		if sent := heard.Load() != before; sent != c.sent || (KindOf(err) == Defect) == c.sent {
			t.Errorf("%s: sent %t, %v", c.name, sent, err)
		}
	}
}
