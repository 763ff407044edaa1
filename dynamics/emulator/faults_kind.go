package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ready is what a kind stands for.
type ready struct {
	status            int
	contentType, body string
}

func htmlPage(status int) ready {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return ready{status, "text/html", "<html><head><title>" + title + "</title></head><body><h1>" + title +
		"</h1></body></html>"}
}

const jsonType = "application/json; charset=utf-8"

// ready is the answer of a kind; status 0 means the true one.
func (x Fault) ready() ready {
	entra := x.Where != FaultData
	switch x.Kind {
	case KindThrottle:
		if entra {
			return ready{http.StatusTooManyRequests, jsonType,
				`{"error":"temporarily_unavailable","error_description":"AADSTS90055: There are too many incoming requests.","error_codes":[90055]}`}
		}
		return ready{http.StatusTooManyRequests, jsonType,
			`{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`}
	case KindGateway:
		return htmlPage(http.StatusBadGateway)
	case KindUnavailable:
		return htmlPage(http.StatusServiceUnavailable)
	case KindTimeout:
		return htmlPage(http.StatusGatewayTimeout)
	case KindError:
		if entra {
			return ready{http.StatusInternalServerError, jsonType,
				`{"error":"server_error","error_description":"AADSTS50000: There was an error issuing a token.","error_codes":[50000]}`}
		}
		return ready{http.StatusInternalServerError, jsonType,
			`{"error":{"code":"0x80040216","message":"An unexpected error occurred."}}`}
	case KindPortal:
		return ready{http.StatusOK, "text/html; charset=utf-8",
			"<!doctype html><html><head><title>Guest network</title></head><body><h1>Please accept the terms of this network</h1></body></html>"}
	case KindCutJSON:
		return ready{http.StatusOK, jsonType, `{"token_type":"Bearer","scope":"user_imp`}
	case KindBadCookie: // code and text as for a mangled $skiptoken (7.2)
		return ready{http.StatusBadRequest, "application/json; odata.metadata=minimal", `{"error":{"code":"` + codeQuery +
			`","message":"Malformed XML in the Paging Cookie"}}`}
	case KindQueryThrottle:
		return ready{http.StatusTooManyRequests, jsonType,
			`{"error":{"code":"0x80048644","message":"This query cannot be executed because it ` +
				`conflicts with Query Throttling; the query uses a leading wildcard value in a filter condition, which will cause the query to be ` +
				`throttled more aggressively."}}`}
	case KindQueryTimeout:
		return ready{http.StatusInternalServerError, jsonType,
			`{"error":{"code":"0x80048573","message":"The database operation timed out; this ` +
				`may be due to a leading wildcard value being used in a filter condition. Please consider removing filter conditions on leading ` +
				`wildcard values, as these filter conditions are expensive and may cause timeouts."}}`}
	}
	return ready{}
}

// dataOnly are the kinds that are answers of Dataverse and of nobody else.
var dataOnly = []string{KindBadCookie, KindQueryThrottle, KindQueryTimeout}

// filled is the fault with what its kind stands for.
func (x Fault) filled() Fault {
	x.Reset = x.Reset || x.Kind == KindReset
	if x.Kind == KindTruncate && x.Truncate == 0 {
		x.Truncate = 64
	}
	if x.Kind == KindSlow && x.DripEvery == 0 {
		x.DripEvery = 20 * time.Millisecond
	}
	if (x.Kind == KindSlow || x.DripEvery > 0) && x.DripBytes == 0 {
		x.DripBytes = 64
	}
	k := x.ready()
	if k.status == 0 {
		return x
	}
	if x.Status == 0 {
		x.Status = k.status
	}
	if x.Body == "" {
		x.Body = k.body
	}
	if _, ok := x.Header["Content-Type"]; !ok {
		h := map[string]string{"Content-Type": k.contentType}
		for name, v := range x.Header {
			h[name] = v
		}
		x.Header = h
	}
	if x.Kind == KindThrottle && x.RetryAfter == 0 && x.Header["Retry-After"] == "" {
		x.RetryAfter = 1
	}
	return x
}

// duration is written "1.5s" or in nanoseconds.
type duration time.Duration

// UnmarshalJSON reads either form.
func (d *duration) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if len(text) == len(b) {
		return json.Unmarshal(b, (*int64)(d))
	}
	v, err := time.ParseDuration(text)
	*d = duration(v)
	return err
}

// ParseFault reads a fault as /_emulator/fail takes it: a JSON object with the members of [Fault].
// What could never strike is an error that says what would be right.
func ParseFault(text []byte) (Fault, error) {
	type plain Fault
	var in struct {
		plain
		Delay     duration `json:"delay"`
		DripEvery duration `json:"drip_every"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Fault{}, fmt.Errorf("a fault is a JSON object such as {\"kind\":\"gateway\",\"times\":3}: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fault{}, errors.New("there is something after the fault")
	}
	x := Fault(in.plain)
	x.Delay, x.DripEvery = time.Duration(in.Delay), time.Duration(in.DripEvery)
	return x, x.check()
}

// check refuses what would never strike, or not as it was meant.
func (x Fault) check() error {
	data := x.Where == "" || x.Where == FaultData
	switch {
	case !slices.Contains([]string{"", FaultData, FaultToken, FaultAuthorize, FaultDiscovery}, x.Where):
		return fmt.Errorf("where is %q; it must be data, token, authorize or discovery", x.Where)
	case x.Kind != "" && !slices.Contains(kinds, x.Kind):
		return fmt.Errorf("kind is %q; it must be one of %s", x.Kind, strings.Join(kinds, ", "))
	case x.Kind != "" && len(x.Kinds) > 0:
		return errors.New("a fault has kind or kinds, not both")
	case !data && slices.Contains(dataOnly, x.Kind):
		return fmt.Errorf("kind %s is for where data", x.Kind)
	case !data && slices.ContainsFunc(x.Kinds, func(k string) bool { return slices.Contains(dataOnly, k) }):
		return fmt.Errorf("kinds %s are for where data", strings.Join(dataOnly, ", "))
	case slices.ContainsFunc(x.Kinds, func(k string) bool { return !slices.Contains(kinds, k) }):
		return fmt.Errorf("kinds are %s; each must be one of %s", strings.Join(x.Kinds, ", "),
			strings.Join(kinds, ", "))
	case x.Route != "" && !data:
		return errors.New("route is for where data")
	case x.Number != 0 && data:
		return errors.New("number is an answer of Entra ID; where must be token or authorize")
	case x.Probability < 0 || x.Probability > 1:
		return fmt.Errorf("probability is %v; it must be from 0 to 1", x.Probability)
	case x.Status != 0 && (x.Status < 200 || x.Status > 599):
		return fmt.Errorf("status is %d; it must be from 200 to 599", x.Status)
	case x.Delay < 0 || x.DripEvery < 0 || x.DripBytes < 0 || x.Truncate < 0 || x.RetryAfter < 0:
		return errors.New("delay, drip_every, drip_bytes, truncate and retry_after must not be negative")
	case x.does() == (Fault{}).does() && len(x.Kinds) == 0:
		return errors.New("the fault does nothing: set kind, kinds, number, status, delay, reset, truncate or drip_bytes")
	}
	return nil
}

// does are the members of which a fault needs one.
func (x Fault) does() [6]any {
	return [6]any{x.Kind, x.Number, x.Status, x.Delay, x.Reset, [3]any{x.Truncate, x.DripBytes, x.DripEvery}}
}
