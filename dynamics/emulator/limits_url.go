package emulator

import (
	"net/http"
	"strings"
)

// What the web server in front of the service does not let through. It answers by itself, in HTML
// and before anybody looks at the token: the service is hosted in IIS.
//
// The longest URL is documented as 32,768 characters, and what happens beyond is not. IIS refuses a
// query string that is too long with 404.15, which is what Dynamics users report ("404 - File or
// directory not found", davidyack/Xrm.Tools.CRMWebAPI#59); others speak of 414, so a client should
// expect both. A path segment of more than 260 characters is "400 Bad Request - Invalid URL", by
// the page compose-http-requests-handle-errors.md, and $batch is the documented way around both.

const (
	maxURL     = 32768
	maxSegment = 260
)

const notFoundPage = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>404 - File or directory not found.</title></head><body>
<h1>Server Error</h1><h2>404 - File or directory not found.</h2><h3>The resource you are looking for might have been removed, had its name changed, or is temporarily unavailable.</h3></body></html>`

const invalidURLPage = `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">
<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD><BODY><h2>Bad Request - Invalid URL</h2><hr><p>HTTP Error 400. The request URL is invalid.</p></BODY></HTML>`

// refuseURL answers for the web server where it would not let the request through.
func refuseURL(w http.ResponseWriter, r *http.Request) bool {
	page, status := "", http.StatusNotFound
	for part := range strings.SplitSeq(r.URL.EscapedPath(), "/") {
		if len(part) > maxSegment {
			page, status = invalidURLPage, http.StatusBadRequest
		}
	}
	if len(origin(r))+len(r.RequestURI) > maxURL {
		page, status = notFoundPage, http.StatusNotFound
	}
	if page == "" {
		return false
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page)) // the client may be gone
	return true
}
