package dynamics

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxErrorBody    = 64 << 10
	maxErrorMessage = 1 << 10
	withheld        = "(message withheld: it repeats a value of the request)"
	withheldToken   = "(message withheld: it repeats the access token)"
)

// redaction is removed from Dataverse's messages, values and tokens, and what a
// message may be about.
type redaction struct {
	values []string // in addition to those of the query's filter
	query  *Query   // whose columns the message may name; nil where there is none
	form   listForm // in which its filter was sent
	tokens []string // that the other side was sent, see echo.go
	first  tokenUse // of tokens[0], zero where it was not made
	sieves *perToken[*echoSieve]
}

var (
	missingPrivilege = regexp.MustCompile(`(?i)\bmissing (prv[A-Za-z0-9_]{1,120})\b`)
	privilegeName    = regexp.MustCompile(`\bprv[A-Za-z0-9_]{1,120}\b`)
	wholePrivilege   = regexp.MustCompile(`^prv[A-Za-z0-9_]{1,120}$`)
	missingRight     = regexp.MustCompile(`\bReadAccess\b.* of entity '?([a-z0-9_]{1,100})\b`)
	missingColumn    = []*regexp.Regexp{
		regexp.MustCompile(`Could not find a property named '([a-z0-9_]{1,140})'`),
		regexp.MustCompile(`doesn't contain attribute with Name = '([a-z0-9_]{1,140})'`),
	}
)

// refusal reads an answer that is not 200.
func refusal(r *request, resp *http.Response, b *body) error {
	e := &Error{Op: r.op, Table: r.table, Status: resp.StatusCode, RequestID: r.redact.requestID(resp.Header)}
	e.RetryAfter = retryAfter(resp.Header, time.Now())
	if resp.StatusCode/100 == 3 {
		e.Kind, e.Message = Upstream, "a redirect, which is not followed because it would carry the token elsewhere"
		return e
	}
	if resp.StatusCode == http.StatusUnauthorized {
		e.Claims, e.challenges = r.redact.passClaims(claims(resp.Header)), resp.Header.Values("Www-Authenticate")
	}
	raw, _ := io.ReadAll(io.LimitReader(b, maxErrorBody)) // half a message is better than none
	var message string
	e.Code, message = errorBody(raw)
	e.Code, e.Privilege = r.redact.pass(e.Code), r.redact.pass(privilege(message, r.table))
	column, unknown := unknownColumn(e.Code, message, r.redact.query)
	e.Message = r.redact.clean(message)
	e.Kind = kindOf(e.Status, e.Code, raw)
	general := e.Status == http.StatusBadRequest && !e.OfQuery()
	if unknown && general {
		e.Kind, e.Column = UnknownColumn, column
	}
	switch {
	case pagesEnd(e.Code, e.Status, message):
		e.Kind = PagesEnd
	case !general:
	case r.link != "" && oldLink(e.Code, message):
		e.Kind = Expired
	}
	if k := changesKind(message); e.OfChanges() && general && k != 0 {
		e.Kind = k
	}
	switch {
	case e.Kind != Forbidden:
		e.Privilege = ""
	case e.Privilege == "" && codeOf(e.Code).privilege && !missingRight.MatchString(message) && !e.OfChanges():
		// The message does not say which. Changes need more than the privilege.
		e.Privilege = r.table.Privilege
	}
	if r.table.missing(e.Status, e.Code, message) {
		e.Kind = NoTable
	}
	e.Limit = e.limit()
	e.retry = codeOf(e.Code).mayRetry(e.Status)
	return e
}

// oldLink reports whether Dataverse does not take the place in a link of its own any
// more. Most refusals of a cookie come under a general code and differ in their words.
func oldLink(code, message string) bool {
	message = strings.ToLower(message)
	return codeOf(code).when == onlyLink || strings.Contains(message, "paging cookie") ||
		strings.Contains(message, "skip token")
}

// pagesEnd reports whether Dataverse has no more pages in this order. The text and the
// status 400 are those of public reports.
func pagesEnd(code string, status int, message string) bool {
	return codeOf(code).Kind == PagesEnd || status == http.StatusBadRequest &&
		strings.Contains(strings.ToLower(message), "paging cookie is required")
}

// privileges are those to read the tables that requests name in addition to their own.
var privileges = map[string]string{"systemuser": "prvReadUser", "role": "prvReadRole", "team": "prvReadTeam"}

// privilege finds the privilege that a refusal is about: the one that is missing,
// else the first that is named. Where a right to one row is missing Dataverse names
// the right and the table, and the privilege that gives it follows from them.
func privilege(message string, t Table) string {
	if m := missingPrivilege.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	if name := privilegeName.FindString(message); name != "" {
		return name
	}
	if m := missingRight.FindStringSubmatch(message); m != nil {
		if m[1] == t.Logical {
			return t.Privilege
		}
		return privileges[m[1]]
	}
	return ""
}

// errorBody survives every form that Dataverse and what stands before it send:
// OData's, the older Message form, HTML and nothing. HTML is not quoted.
func errorBody(raw []byte) (code, message string) {
	var form struct {
		Error *struct {
			Code    jsontext.Value `json:"code"`
			Message jsontext.Value `json:"message"`
		} `json:"error"`
		Lower     jsontext.Value `json:"message"`
		Upper     jsontext.Value `json:"Message"`
		Exception jsontext.Value `json:"ExceptionMessage"`
		ErrorCode jsontext.Value `json:"ErrorCode"`
	}
	if json.Unmarshal(raw, &form, jsontext.AllowInvalidUTF8(true)) != nil { // it may quote half of an emoji
		return "", ""
	}
	text := func(v jsontext.Value) string {
		if v.Kind() != '"' {
			return "" // another form than a text, of whatever size it would become
		}
		s, _ := jsontext.AppendUnquote(nil, v) // the error says what is replaced
		return string(s)
	}
	if form.Error != nil {
		return cleanCode(text(form.Error.Code)), text(form.Error.Message)
	}
	for _, v := range []jsontext.Value{form.Lower, form.Upper, form.Exception} {
		if message = text(v); message != "" {
			break
		}
	}
	return cleanCode(text(form.ErrorCode)), message
}

// cleanCode keeps what looks like a code: it goes into error texts as it is.
func cleanCode(code string) string {
	if len(code) > 16 || strings.ContainsFunc(code, func(c rune) bool {
		return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '-'
	}) {
		return ""
	}
	return code
}

func unknownColumn(code, message string, query *Query) (string, bool) {
	for _, form := range missingColumn {
		if m := form.FindStringSubmatch(message); m != nil {
			return query.column(m[1]), true
		}
	}
	return "", codeOf(code).Kind == UnknownColumn
}

// sent are the values that the request carried, in each form in which it did. They are
// looked for in messages of errors only, and not gathered before there is one.
func (h redaction) sent() []string {
	if h.query == nil {
		return h.values
	}
	return appendValues(slices.Clone(h.values), h.query.Filter, h.form)
}

func appendValues(values []string, f Filter, form listForm) []string {
	switch f := f.(type) {
	case And:
		for _, m := range f {
			values = appendValues(values, m, form)
		}
	case Or:
		for _, m := range f {
			values = appendValues(values, m, form)
		}
	case Not:
		values = appendValues(values, f.Of, form)
	case Test:
		literals, _ := f.literals()                               // it has been sent, so there is no fault
		values = append(append(values, f.Values...), literals...) // a moment in UTC differs from what was given
		if (f.Op == In || f.Op == NotIn) && form.lists(&f) {
			for i, l := range literals {
				if item, ok := f.item(i, l); ok {
					values = append(values, item[1:len(item)-1]) // the form that a message would repeat it in
				}
			}
		}
	}
	return values
}

// clean makes a message one bounded line, or withholds it if it repeats a value
// of the request in any of the forms in which the request carried it.
func (h redaction) clean(message string) string {
	folded := fold(message)
	for _, v := range h.sent() {
		if repeats(folded, fold(v)) {
			return withheld
		}
	}
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(message, "?"), func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || unicode.Is(unicode.Cf, c)
	}), " ")
	for len(line) > maxErrorMessage {
		cut := maxErrorMessage - len("…")
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		line = line[:cut] + "…"
	}
	if h.echoes(line) {
		return withheldToken
	}
	return line
}

// repeats looks for the value or, as messages may cut it, its first 12 bytes. A
// value of letters and digits must stand alone: "5" is not repeated by "500".
func repeats(message, value string) bool {
	if value == "" || value == "true" || value == "false" {
		return false
	}
	if len(value) > 12 {
		return strings.Contains(message, value[:12])
	}
	for at := 0; ; at++ {
		i := strings.Index(message[at:], value)
		if i < 0 {
			return false
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(message[:at])
		after, _ := utf8.DecodeRuneInString(message[at+len(value):])
		if len(value) > 3 || !isWord(before) && !isWord(after) {
			return true
		}
	}
}

func isWord(c rune) bool { return c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c)) }

// fold undoes the encodings that a value takes on its way, so that a message and
// a value compare in whichever form either has.
func fold(s string) string {
	for range 2 {
		if decoded, err := url.PathUnescape(s); err == nil {
			s = decoded
		} else {
			s = lenientUnescape(s)
		}
	}
	s = strings.NewReplacer("''", "'", "+", " ", "[[]", "[", "[%]", "%", "[_]", "_").Replace(s)
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// lenientUnescape decodes what is a percent-encoding and leaves other percent
// signs alone.
func lenientUnescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			var c [1]byte
			if _, err := hex.Decode(c[:], []byte(s[i+1:i+3])); err == nil {
				b = append(b, c[0])
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
