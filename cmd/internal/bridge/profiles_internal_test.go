package bridge

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// profile asks for one of the profiles.
func profile(t *testing.T, server *httptest.Server, path string, change func(*http.Request)) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/debug/pprof/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

//go:noinline
func waitsWith(secret string, until chan struct{}) int {
	<-until
	return len(secret)
}

// Every profile is there and holds nothing that the program works with: neither what lies in
// memory, nor what a function was called with, nor the command line.
func TestProfilesHoldNoValues(t *testing.T) {
	server := httptest.NewServer(profiles())
	defer server.Close()
	const canary = "CANARY-of-the-profiles"
	held := []string{}
	for range 1000 {
		held = append(held, strings.Clone(canary)+strings.Repeat("x", 4096))
	}
	until, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); waitsWith(strings.Clone(canary), until) }()
	defer func() { close(until); <-done; runtime.KeepAlive(held) }()
	for path, begins := range map[string]string{
		"profile?seconds=1": "", "trace?seconds=1": "go 1.", "heap": "", "heap?gc=1": "", "allocs": "",
		"goroutine": "", "threadcreate": "", "goroutine?debug=1": "goroutine profile: total", "heap?debug=1": "heap profile:",
	} {
		code, body := profile(t, server, path, nil)
		if code != http.StatusOK || !bytes.HasPrefix(body, []byte(begins)) {
			t.Errorf("%s: %d, %.40q", path, code, body)
			continue
		}
		if begins == "" { // for go tool pprof
			unpacked, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if body, err = io.ReadAll(unpacked); err != nil || len(body) < 100 {
				t.Errorf("%s: %d bytes (%v)", path, len(body), err)
			}
		}
		if bytes.Contains(body, []byte("CANARY")) {
			t.Errorf("%s holds a value of the program", path)
		}
		if path == "goroutine" && !bytes.Contains(body, []byte("waitsWith")) {
			t.Errorf("%s lacks a function that waits", path)
		}
	}
}

func TestWhatProfilesRefuse(t *testing.T) {
	server := httptest.NewServer(profiles())
	defer server.Close()
	for _, c := range []struct {
		path   string
		want   int
		change func(*http.Request)
	}{
		{"", http.StatusOK, nil},
		{"cmdline", http.StatusNotFound, nil},
		{"symbol", http.StatusNotFound, nil},
		{"goroutine?debug=2", http.StatusBadRequest, nil},
		{"heap?debug=-1", http.StatusBadRequest, nil},
		{"profile?seconds=0", http.StatusBadRequest, nil},
		{"profile?seconds=61", http.StatusBadRequest, nil},
		{"trace?seconds=9223372036854775807", http.StatusBadRequest, nil},
		{"trace?seconds=1.5", http.StatusBadRequest, nil},
		{"heap", http.StatusMethodNotAllowed, func(r *http.Request) { r.Method = http.MethodPost }},
		{"heap", http.StatusOK, func(r *http.Request) { r.Host = "localhost:1" }},
		{"heap", http.StatusOK, func(r *http.Request) { r.Host = "[::1]" }},
		{"heap", http.StatusForbidden, func(r *http.Request) { r.Host = "attacker.example" }},
		{"heap", http.StatusForbidden, func(r *http.Request) { r.Host = "attacker.example:6060" }},
		{"heap", http.StatusForbidden, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
	} {
		if code, body := profile(t, server, c.path, c.change); code != c.want {
			t.Errorf("%s: %d, want %d (%.80s)", c.path, code, c.want, body)
		}
	}
}

// One profile is taken at a time; the next is told so, and a process that stops does not
// wait for one.
func TestAProfileEndsWithTheProcess(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	b := &Bridge{log: slog.New(slog.DiscardHandler), failed: make(chan error, 3), config: Config{PprofAddr: addr}}
	if err := b.serveProfiles(); err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, error) {
		response, err := http.Get("http://" + addr + "/debug/pprof/" + path)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
	ended := make(chan error, 1)
	go func() {
		code, err := http.StatusServiceUnavailable, error(nil)
		for err == nil && code == http.StatusServiceUnavailable { // it met another profile
			code, err = get("trace?seconds=60")
		}
		ended <- err
	}()
	for code := http.StatusOK; code != http.StatusServiceUnavailable; {
		if code, err = get("heap"); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the trace was cut off: %v", err)
	}
	if took := time.Since(begun); took >= stopWait {
		t.Errorf("the process stopped after %s", took)
	}
	if _, err := get("heap"); err == nil {
		t.Error("profiles are served after the end")
	}
	if err := (&Bridge{}).serveProfiles(); err != nil {
		t.Errorf("without PPROF_ADDR: %v", err)
	}
}
