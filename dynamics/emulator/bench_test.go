package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// BenchmarkPage is one page of 5000 rows with labels, as crmbridge asks for it.
func BenchmarkPage(b *testing.B) {
	s, err := emulator.New(emulator.Options{})
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	res, err := http.PostForm(srv.URL+tokenPath, url.Values{"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID},
		"client_secret": {emulator.DefaultClientSecret}, "scope": {srv.URL + "/.default"}})
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	token := accessToken(b, res.Body)
	target := srv.URL + "/api/data/v9.2/accounts?$select=name,websiteurl,industrycode,accountclassificationcode,revenue,numberofemployees,address1_city,_ownerid_value,createdon,donotemail&$filter=" +
		url.QueryEscape("contains(name,'a') and statecode eq 0") + "&$orderby=name"
	warm(b, srv.URL, token)
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
	s, err := emulator.New(emulator.Options{Accounts: 60_000})
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	res, err := http.PostForm(srv.URL+tokenPath, url.Values{"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID},
		"client_secret": {emulator.DefaultClientSecret}, "scope": {srv.URL + "/.default"}})
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	token := accessToken(b, res.Body)
	warm(b, srv.URL, token)
	for b.Loop() {
		target := srv.URL + "/api/data/v9.2/accounts?$select=name,industrycode&$orderby=name&$filter=statecode%20eq%200"
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
