package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// begun is a server for a benchmark, its origin, and an access token for it.
func begun(b *testing.B, o emulator.Options) (s *emulator.Server, origin, token string) {
	b.Helper()
	s, err := emulator.New(o)
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(s)
	b.Cleanup(srv.Close)
	res, err := http.PostForm(srv.URL+tokenPath,
		url.Values{"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID},
			"client_secret": {emulator.DefaultClientSecret}, "scope": {srv.URL + "/.default"}})
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	return s, srv.URL, accessToken(b, res.Body)
}

// BenchmarkPage is one page of 5000 rows with labels, as crmbridge asks for it.
func BenchmarkPage(b *testing.B) {
	_, origin, token := begun(b, emulator.Options{})
	target := origin + "/api/data/v9.2/accounts?$select=name,websiteurl,industrycode,accountclassificationcode,revenue,numberofemployees,address1_city,_ownerid_value,createdon,donotemail&$filter=" +
		url.QueryEscape("contains(name,'a') and statecode eq 0") + "&$orderby=name"
	warm(b, origin, token)
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), "GET", target, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Prefer", `odata.maxpagesize=5000,odata.include-annotations="*"`)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res.Status, err)
		}
		b.SetBytes(n)
	}
}

// BenchmarkStream is 50,000 rows of 60,000 in pages of 5000, in another order than that of the keys.
func BenchmarkStream(b *testing.B) {
	_, origin, token := begun(b, emulator.Options{Accounts: 60_000})
	warm(b, origin, token)
	for b.Loop() {
		target := origin + "/api/data/v9.2/accounts?$select=name,industrycode&$orderby=name&$filter=statecode%20eq%200"
		for range 10 {
			req, err := http.NewRequestWithContext(b.Context(), "GET", target, nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			var page struct {
				NextLink string `json:"@odata.nextLink"`
			}
			if err := json.NewDecoder(res.Body).Decode(&page); err != nil || page.NextLink == "" {
				b.Fatal(res.Status, err)
			}
			res.Body.Close()
			target = page.NextLink
		}
	}
}

// BenchmarkNew is what a server of 60,000 rows costs.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := emulator.New(emulator.Options{Accounts: 60_000}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirst is what a server of 60,000 accounts costs until it has answered for one of them.
func BenchmarkFirst(b *testing.B) {
	for b.Loop() {
		s, err := emulator.New(emulator.Options{Accounts: 60_000})
		if err != nil {
			b.Fatal(err)
		}
		for range s.Control().Accounts() {
			break
		}
	}
}

// BenchmarkRange is a page of 5000 of 500,000 rows, of a range of createdon and ordered by it, as a
// parallel export asks for it; with changes a row is rewritten before each page. The server of so
// many rows takes some seconds and 600 MB.
func BenchmarkRange(b *testing.B) {
	s, origin, token := begun(b, emulator.Options{Accounts: 500_000, Contacts: -1})
	begin := time.Now()
	warm(b, origin, token)
	b.Logf("making the rows: %s", time.Since(begin))
	var ids []string
	for a := range s.Control().Accounts() {
		if ids = append(ids, a.ID); len(ids) == 5000 {
			break
		}
	}
	const base = "/api/data/v9.2/accounts?$select=name,websiteurl,industrycode,accountclassificationcode,revenue,numberofemployees,address1_city," +
		"_ownerid_value,createdon,donotemail"
	created := "&$orderby=createdon,accountid&$filter=" +
		url.QueryEscape("createdon ge 2020-01-01T00:00:00Z and createdon lt 2022-01-01T00:00:00Z")
	for _, c := range []struct {
		name, target string
		changes      bool
	}{{"key", base, false}, {"createdon", base + created, false}, {"createdon, changes", base + created, true}} {
		b.Run(c.name, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				if c.changes {
					s.Control().Table("accounts").SetCreated(ids[n%len(ids)], time.Unix(1_600_000_000+int64(n), 0))
				}
				req, err := http.NewRequestWithContext(b.Context(), "GET", origin+c.target, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+token)
				req.Header.Set("Prefer", `odata.maxpagesize=5000,odata.include-annotations="OData.Community.Display.V1.FormattedValue"`)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				size, err := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || size < 100_000 {
					b.Fatal(res.Status, size, err)
				}
			}
		})
	}
}

// warm has the server make its accounts, which it does for the first that asks.
func warm(b *testing.B, server, token string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), "GET", server+"/api/data/v9.2/accounts?$top=1&$select=name", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b.Fatal(res.Status)
	}
}

func accessToken(b *testing.B, r io.Reader) string {
	b.Helper()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(r).Decode(&body); err != nil || body.AccessToken == "" {
		b.Fatal("no access token", err)
	}
	return body.AccessToken
}
