package emulator

import (
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzFilter: no filter text may panic, and what compiles must decide on every row; its complement
// by not (…) must be exact wherever the row has all values.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"name eq 'O''Brien'", "not (contains(name,'[a-c%_]') or revenue gt 1.5e3)", "name eq 'x", "((", "@p eq 1",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a","]"])`, "createdon ge 2024-01-01T00:00:00.5Z", "_ownerid_value eq null"} {
		f.Add(s)
	}
	s, err := New(Options{Accounts: 80})
	if err != nil {
		f.Fatal(err)
	}
	c := &call{s: s, v: s.data.view(), user: s.dir.users[0]}
	f.Fuzz(func(tt *testing.T, text string) {
		for _, t := range s.schema.now.Load().tables {
			fuzzFilter(tt, c, t, text)
		}
	})
}

// fuzzFilter compiles a filter and its negation over a table, and has no row pass both.
func fuzzFilter(tt *testing.T, c *call, t *table, text string) {
	p, fail := c.compile(t, text, nil)
	if fail != nil {
		if fail.status != 400 || fail.message == "" {
			tt.Fatalf("%q: %v", text, fail)
		}
		return
	}
	not, fail := c.compile(t, "not ("+text+")", nil)
	if fail != nil && !strings.Contains(fail.message, "Not operator") && !strings.Contains(fail.message, "recursion") {
		tt.Fatalf("not (%q): %v", text, fail)
	}
	for _, r := range t.rows(c.v) {
		if p(r) && not != nil && not(r) {
			tt.Fatalf("%q and its negation both hold for %s", text, t.id(r))
		}
	}
}

// FuzzCookie: a token that is made is read back to the same place, and no other text panics.
func FuzzCookie(f *testing.F) {
	f.Add("<cookie", "name")
	f.Add(`<cookie pagenumber="2" pagingcookie="%3ccookie%20page%3d%221%22%3e%3c%2fcookie%3e" istracking="False" />`,
		"Ünï & <\"'>%+")
	s, err := New(Options{Accounts: -1})
	if err != nil {
		f.Fatal(err)
	}
	t := s.schema.now.Load().tables["accounts"]
	order, fail := t.ordering("name desc,revenue,createdon")
	if fail != nil {
		f.Fatal(fail)
	}
	f.Fuzz(func(tt *testing.T, text, name string) {
		if c, fail := parseCookie(text, order); fail == nil && len(c.last) != len(order) {
			tt.Fatalf("%q: %d cells", text, len(c.last))
		}
		n := int64(len(name)) * 12345
		a := Account{Name: strings.ToValidUTF8(name, "?"), Revenue: &n, ID: randomGUID().String()}
		row, ok := newAccountMaker(t, false).record(&a)
		if strings.ContainsFunc(a.Name, func(r rune) bool { return r < ' ' || r == 0xFFFD || r == 0xFFFE || r == 0xFFFF }) {
			return // not allowed in XML, and not in Dataverse's columns
		}
		r := httptest.NewRequest("GET", "/?$skiptoken="+skipToken(innerCookie(s.data.view(), `page="1"`, order, row, row),
			2, false), nil)
		c, fail := parseCookie(r.URL.Query().Get("$skiptoken"), order)
		if !ok || fail != nil || c.page != 1 || c.last[0].s != a.Name || c.last[3].id != row.id || c.last[1].n != n {
			tt.Fatalf("%q: %v %+v", a.Name, fail, c)
		}
	})
}

func FuzzLike(f *testing.F) {
	f.Add("%a_[b-d]%", "xxaycz")
	f.Add("[^", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		_ = compileLike(pattern).match(foldCase(text))
		literal := strings.NewReplacer("[", "[[]", "%", "[%]", "_", "[_]").Replace(strings.ToValidUTF8(text, "?"))
		if folded := foldCase(strings.ToValidUTF8(text, "?")); !compileLike(literal).match(folded) {
			t.Fatalf("%q does not match itself when escaped", text)
		}
	})
}

// FuzzAssertion: no text may panic, pass, or come back in a refusal.
func FuzzAssertion(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString
	f.Add("x")
	f.Add(part([]byte(`{"alg":"PS256","x5t#S256":"AA=="}`)) + "." +
		part([]byte(`{"iss":"a","aud":["b"],"exp":1e9}`)) + ".AA")
	f.Add(part([]byte(`{"alg":"RS256","kid":"k","x5c":["AA"]}`)) + "." +
		part([]byte(`{"iss":"https://x","aud":"b","exp":4e9,"nbf":-1}`)) + ".")
	s, err := New(Options{Accounts: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest("POST", "/t/oauth2/v2.0/token", nil)
		r.PostForm = url.Values{"client_assertion_type": {assertionType}}
		if !strings.Contains(text, "\n") {
			if fail := s.clientAssertion(r, "t", text); fail == nil || fail.number == 0 ||
				(len(text) > 40 && strings.Contains(fail.text, text)) {
				t.Fatalf("%q: %+v", text, fail)
			}
		}
		if a, fail := parseAssertion(text); fail == nil &&
			(a.claims.Expires == nil || *a.claims.Expires < 0 || a.header.Alg == "none") {
			t.Fatalf("%q: %+v", text, a)
		}
	})
}

// FuzzBatch: no body may panic or be read as more operations than it may hold, and what is put together is read back.
func FuzzBatch(f *testing.F) {
	part := "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET accounts HTTP/1.1\r\nPrefer: odata.maxpagesize=1\r\n\r\n"
	f.Add(part+part+"--b--\r\n", "accounts?$top=1", "x")
	f.Add("--b\nContent-Type: application/http\n\nGET x HTTP/1.1\n\n--b--", "/api/data/v9.2/accounts", "{\n}")
	f.Add("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\nPOST $1 HTTP/1.1\r\n\r\n{}\r\n--c--\r\n--b--", "$1", "--b--")
	f.Fuzz(func(t *testing.T, body, target, content string) {
		parts, fail := parseBatch([]byte(body), "b")
		if fail != nil && (fail.status != 400 || fail.message == "" || fail.code == "") {
			t.Fatalf("%q: %v", body, fail)
		}
		n := 0
		for _, p := range parts {
			n += max(1, len(p.changeSet))
		}
		if n > maxOperations {
			t.Fatalf("%d operations", n)
		}
		if strings.ContainsAny(target, "\r\n") || strings.TrimSpace(target) != target || target == "" ||
			strings.Contains(content, "--boundary") {
			return // not to be written so
		}
		whole := "--boundary\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPOST " + target +
			" HTTP/1.1\r\nA: b\r\n\r\n" + content + "\r\n--boundary--"
		parts, fail = parseBatch([]byte(whole), "boundary")
		if len(target) > maxBatchURL {
			return
		}
		if fail != nil || len(parts) != 1 || parts[0].op.target != target || parts[0].op.method != "POST" ||
			parts[0].op.header.Get("A") != "b" || string(parts[0].op.body) != content {
			t.Fatalf("%q, %q: %v %+v", target, content, fail, parts)
		}
	})
}
