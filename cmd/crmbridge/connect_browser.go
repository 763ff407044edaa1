package main

import (
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/cli/browser"
)

// openerTime is how long is waited for an opener that fails, so that this is said before anything
// else. Some end with the browser only.
const openerTime = 2 * time.Second

// openPage opens a page in the person's browser, and waits neither for the browser nor for what
// opens it; failed is called where there is none. Neither may write here: the page's address is all
// that the person needs. It is a reply's: what is no web page an opener might run.
func openPage(address string, failed func()) {
	page, err := url.Parse(address)
	web := err == nil && page.Host != "" && (page.Scheme == "https" || page.Scheme == "http")
	if !web || !hasScreen() { // an opener would take the terminal for a browser of text
		failed()
		return
	}
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		failed()
		return
	}
	// A file, and no other writer, which would be waited for as long as any child holds it.
	browser.Stdout, browser.Stderr = nowhere, nowhere
	done := make(chan struct{})
	go func() { // it ends with the opener, or with this process
		defer close(done)
		defer nowhere.Close()
		if browser.OpenURL(page.String()) != nil {
			failed()
		}
	}()
	select {
	case <-done:
	case <-time.After(openerTime):
	}
}

// hasScreen reports whether a browser could have a window.
func hasScreen() bool {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return true
	}
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}
