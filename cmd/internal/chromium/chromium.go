// Package chromium drives a headless Chromium in tests, over the DevTools protocol
// on a pipe: enough to open pages, fill in forms, look and take pictures.
package chromium

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// wait bounds every step in the browser.
const wait = time.Minute

// A Browser is one headless Chromium with a profile of its own and one page.
type Browser struct {
	t       testing.TB
	to      *os.File
	session string

	mu       sync.Mutex
	serial   int
	answers  map[int]chan message
	loads    int
	problems []string
	closed   error
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
	Session string `json:"sessionId,omitempty"`
}

// Start starts a browser that ends with the test. Where Chromium is not installed
// the test is skipped; CRMBRIDGE_TEST_CHROMIUM=required makes that a failure.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := find()
	if program == "" {
		if os.Getenv("CRMBRIDGE_TEST_CHROMIUM") == "required" {
			t.Fatal("CRMBRIDGE_TEST_CHROMIUM=required, and no chromium is installed")
		}
		t.Skip("no chromium is installed")
	}
	theirIn, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromBrowser, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+profile(t), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // the protocol's file descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close() // the browser has its own copies
	b := &Browser{t: t, to: toBrowser, answers: map[int]chan message{}}
	read := make(chan struct{})
	go func() { defer close(read); b.read(fromBrowser) }()
	t.Cleanup(func() {
		_ = toBrowser.Close() // a browser without its pipe ends
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = fromBrowser.Close()
		<-read
	})
	b.attach()
	return b
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	return ""
}

// profile is a folder that goes away as far as the browser lets it: its last
// processes may still write while the test ends.
func profile(t testing.TB) string {
	folder, err := os.MkdirTemp("", "crmbridge-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 20 {
			if os.RemoveAll(folder) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return folder
}

func (b *Browser) attach() {
	var targets struct {
		TargetInfos []struct {
			TargetID string `json:"targetId"`
			Type     string `json:"type"`
		} `json:"targetInfos"`
	}
	b.call("Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type != "page" {
			continue
		}
		var attached struct {
			SessionID string `json:"sessionId"`
		}
		b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
		b.session = attached.SessionID
		for _, domain := range []string{"Page.enable", "Runtime.enable", "Log.enable", "Network.enable"} {
			b.call(domain, nil, nil)
		}
		return
	}
	b.t.Fatal("chromium has no page")
}

func (b *Browser) read(from *os.File) {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := in.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.closed = fmt.Errorf("chromium has ended: %w", err)
			for _, answer := range b.answers {
				close(answer)
			}
			b.answers = map[int]chan message{}
			b.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if answer := b.answers[m.ID]; m.ID != 0 && answer != nil {
			delete(b.answers, m.ID)
			answer <- m
		}
		b.note(m)
		b.mu.Unlock()
	}
}

// note keeps what the page complains about.
func (b *Browser) note(m message) {
	switch m.Method {
	case "Page.loadEventFired":
		b.loads++
	case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
		text := string(m.Params)
		// A page that answers 4xx is what some tests look at.
		if !strings.Contains(text, "Failed to load resource: the server responded with a status of") {
			b.problems = append(b.problems, text)
		}
	}
}

func (b *Browser) call(method string, params, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
}

func (b *Browser) try(method string, params, result any) error {
	b.mu.Lock()
	if b.closed != nil {
		defer b.mu.Unlock()
		return b.closed
	}
	b.serial++
	m := message{ID: b.serial, Method: method, Session: b.session}
	answer := make(chan message, 1)
	b.answers[m.ID] = answer
	b.mu.Unlock()
	var err error
	if params != nil {
		if m.Params, err = json.Marshal(params); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(raw, 0)); err != nil {
		return err
	}
	select {
	case got, ok := <-answer:
		switch {
		case !ok:
			return errors.New("chromium has ended")
		case got.Error != nil:
			return errors.New(got.Error.Message)
		case result != nil:
			return json.Unmarshal(got.Result, result)
		}
		return nil
	case <-time.After(wait):
		return errors.New("no answer from chromium")
	}
}

// Open shows an address and waits until it is loaded.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.then(func() { b.call("Page.navigate", map[string]any{"url": address}, nil) })
}

// Click clicks what the selector finds and waits for the page that comes.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.then(func() {
		click := fmt.Sprintf("(e => { if (e) e.click(); return !!e })(document.querySelector(%q))", selector)
		if found, _ := b.Eval(click).(bool); !found {
			b.t.Fatalf("nothing to click at %s on %s: %s", selector, b.Eval("location.href.split('?')[0]"), b.Text())
		}
	})
}

func (b *Browser) then(act func()) {
	b.t.Helper()
	b.mu.Lock()
	before := b.loads
	b.mu.Unlock()
	act()
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		loaded := b.loads > before
		b.mu.Unlock()
		if loaded {
			return
		}
		if time.Now().After(end) {
			b.t.Fatal("the page did not load")
		}
	}
}

// Eval is the value of a script in the page, which the page's own policy does not
// bind.
func (b *Browser) Eval(script string) any {
	b.t.Helper()
	var got struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails)
	}
	return got.Result.Value
}

// Text is what the page shows.
func (b *Browser) Text() string { s, _ := b.Eval("document.body.innerText").(string); return s }

// Title is the page's first heading.
func (b *Browser) Title() string {
	s, _ := b.Eval("document.querySelector('h1')?.innerText ?? ''").(string)
	return s
}

// Resize sets the size of the window.
func (b *Browser) Resize(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
}

// Dark prefers dark colours, or light ones.
func (b *Browser) Dark(dark bool) {
	b.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	b.call("Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Forget drops the browser's cookies.
func (b *Browser) Forget() { b.call("Network.clearBrowserCookies", nil, nil) }

// Problems returns and forgets what pages complained about: console output, script
// errors, violations of their policy.
func (b *Browser) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.problems = nil }()
	return b.problems
}

// Picture is the page as PNG.
func (b *Browser) Picture() []byte {
	b.t.Helper()
	var got struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &got)
	png, err := base64.StdEncoding.DecodeString(got.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}
