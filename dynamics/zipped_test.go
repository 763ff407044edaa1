package dynamics_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

func zip(t testing.TB, text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is longer than the first flight of a connection is asked for compressed, other
// pages are not, and nothing is on this machine's own loopback.
func TestWhatIsAskedForCompressed(t *testing.T) {
	const cloud = "https://o.crm.dynamics.com"
	page := func(rows int) func(context.Context, *dynamics.Session) error {
		return func(ctx context.Context, s *dynamics.Session) error {
			_, err := firstPage(ctx, s, dynamics.Query{Select: smallSelect, PageSize: rows})
			return err
		}
	}
	whoAmI := func(ctx context.Context, s *dynamics.Session) error {
		_, err := s.WhoAmI(ctx)
		return err
	}
	for name, c := range map[string]struct {
		environment string
		ask         func(context.Context, *dynamics.Session) error
		want        string
	}{
		"a small page":              {cloud, page(10), ""},
		"a page of a hundred rows":  {cloud, page(100), "gzip"},
		"the largest page":          {cloud, page(5000), "gzip"},
		"what is no page":           {cloud, whoAmI, "gzip"},
		"on loopback":               {"http://127.0.0.1:8001", page(5000), ""},
		"on loopback by name":       {"http://localhost:8001", page(5000), ""},
		"on loopback by IPv6":       {"http://[::1]:8001", page(5000), ""},
		"what is none, on loopback": {"https://127.0.0.1:8001", whoAmI, ""},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := policy(t, publicCloud, true, "o.crm.dynamics.com", "127.0.0.1:8001", "localhost:8001", "[::1]:8001")
			got := "nothing was sent"
			client, err := dynamics.New(dynamics.Config{Hosts: hosts,
				Tokens: &given{dynamics.Access{Tables: told, Environment: c.environment,
					Token: dynamics.NewSecret(canaryToken)}}, MaxAttempts: 1,
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					got = strings.Join(r.Header["Accept-Encoding"], ",")
					return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody}, nil
				})})
			if err != nil {
				t.Fatal(err)
			}
			session, err := client.Open(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			_ = c.ask(t.Context(), session)
			if got != c.want {
				t.Errorf("asked for as %q, want %q", got, c.want)
			}
		})
	}
}

// A compressed answer is read whole or not at all, asked for or not.
func TestACompressedAnswer(t *testing.T) {
	whole := zip(t, pageOf(rowJSON))
	broken := bytes.Clone(whole)
	broken[len(broken)-6]++ // of the check sum
	for name, c := range map[string]struct {
		body []byte
		want dynamics.Kind
	}{
		"whole":                   {whole, 0},
		"in two pieces":           {append(zip(t, pageOf(rowJSON)[:40]), zip(t, pageOf(rowJSON)[40:])...), 0},
		"cut":                     {whole[:len(whole)/2], dynamics.Upstream},
		"without its sum":         {whole[:len(whole)-8], dynamics.Upstream},
		"with another sum":        {broken, dynamics.Unavailable},
		"followed by other bytes": {append(bytes.Clone(whole), "and much more"...), dynamics.Unavailable},
		"not compressed":          {[]byte(pageOf(rowJSON)), dynamics.Unavailable},
		"empty":                   {nil, dynamics.Upstream},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "GZip")
				_, _ = w.Write(c.body)
			}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
			for range 3 { // what was used for one is used again
				page, err := firstPage(t.Context(), r.open(t), everyType)
				if c.want != 0 {
					kind(t, err, c.want)
				} else if err != nil || page.Len() != 1 {
					t.Error(err)
				}
			}
		})
	}
}
