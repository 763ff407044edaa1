package cases

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// upstream is one answer of the environment, or of Entra ID, which has the same
// origin here.
type upstream struct {
	// Method is GET where it is missing. A $batch is taken apart and each of its
	// requests is answered as if it had come alone, unless an entry is about $batch.
	Method string `json:"method"`
	// Path is compared without case, decoded; {name} stands for any part of a
	// segment, and is the same in the body.
	Path string `json:"path"`
	// QueryHas and QueryLacks are a string or several, of the decoded query.
	QueryHas   any `json:"query_has"`
	QueryLacks any `json:"query_lacks"`
	// Status is 200 where it is missing.
	Status  any               `json:"status"`
	Headers map[string]string `json:"headers"`
	Header  map[string]string `json:"header"` // the same
	// Body is JSON, or as a string any text.
	Body any `json:"body"`
	// DelayMS is waited before the answer.
	DelayMS int `json:"delay_ms"`
	// Times is how often the entry answers; 0 is always.
	Times int `json:"times"`
	// RepeatThirdTeam is how often the third of the body's rows comes, each time
	// with a GUID of its own.
	RepeatThirdTeam int `json:"repeat_third_team"`

	used int
}

func (u *upstream) check() error {
	var errs []error
	for name, v := range map[string]any{"query_has": u.QueryHas, "query_lacks": u.QueryLacks} {
		if _, err := stringsOf(v); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if !strings.HasPrefix(u.Path, "/") {
		errs = append(errs, fmt.Errorf("the path %q does not begin with a slash", u.Path))
	}
	if rows := rowsOf(u.Body); u.RepeatThirdTeam > 0 && len(rows) < 3 {
		errs = append(errs, errors.New("repeat_third_team: there is no third row"))
	}
	for _, status := range append(listOf(u.Status), listed(u.Status)...) {
		if n, ok := number(status); !ok || n < 200 || n > 599 {
			errs = append(errs, fmt.Errorf("%v is no status", status))
		}
	}
	return errors.Join(errs...)
}

func listOf(v any) []any { list, _ := v.([]any); return list }

// listed is a value that is not a list as a list of one.
func listed(v any) []any {
	if _, list := v.([]any); list || v == nil {
		return nil
	}
	return []any{v}
}

func stringsOf(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no string", one)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%v is neither a string nor several", v)
}

// A choice is a list of which each run has one value.
type choice struct {
	path   []string // to a member of the body; nil is the status
	values []any
}

func (u *upstream) lists() []choice {
	var out []choice
	if list := listOf(u.Status); list != nil {
		out = append(out, choice{values: list})
	}
	var walk func(v any, path []string)
	walk = func(v any, path []string) {
		object, _ := v.(map[string]any)
		for name, member := range object {
			at := append(slices.Clone(path), name)
			if list := listOf(member); name == "code" && list != nil {
				out = append(out, choice{path: at, values: list})
				continue
			}
			walk(member, at)
		}
	}
	walk(u.Body, nil)
	slices.SortStableFunc(out, func(a, b choice) int { return slices.Compare(a.path, b.path) })
	return out
}

func (u *upstream) choose(c choice, value any) {
	if c.path == nil {
		u.Status = value
		return
	}
	object := u.Body.(map[string]any)
	for _, name := range c.path[:len(c.path)-1] {
		object = object[name].(map[string]any)
	}
	object[c.path[len(c.path)-1]] = value
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// matches reports whether the entry is about a request, and what its placeholders
// stand for there.
func (u *upstream) matches(r *http.Request, query string) (map[string]string, bool) {
	method := u.Method
	if method == "" {
		method = http.MethodGet
	}
	if r.Method != method || u.Times > 0 && u.used >= u.Times {
		return nil, false
	}
	path, rest, _ := strings.Cut(u.Path, "?")
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	var pattern strings.Builder
	names, at := []string{}, 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(path, -1) {
		pattern.WriteString(regexp.QuoteMeta(path[at:m[0]]) + `([^/()]+)`)
		names, at = append(names, path[m[2]:m[3]]), m[1]
	}
	found := regexp.MustCompile(`(?i)^` + pattern.String() + regexp.QuoteMeta(path[at:]) + `$`).FindStringSubmatch(r.URL.Path)
	if found == nil {
		return nil, false
	}
	has, _ := stringsOf(u.QueryHas)
	lacks, _ := stringsOf(u.QueryLacks)
	if rest != "" {
		has = append(has, rest)
	}
	if slices.ContainsFunc(has, func(s string) bool { return !strings.Contains(query, s) }) ||
		slices.ContainsFunc(lacks, func(s string) bool { return strings.Contains(query, s) }) {
		return nil, false
	}
	values := map[string]string{}
	for i, name := range names {
		values[name] = found[i+1]
	}
	return values, true
}

// answer writes the answer, with values in the place of placeholders.
func (u *upstream) answer(w http.ResponseWriter, r *http.Request, values map[string]string) {
	if u.DelayMS > 0 {
		wait := time.NewTimer(time.Duration(u.DelayMS) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return
		}
	}
	fill := func(s string) string {
		return placeholder.ReplaceAllStringFunc(s, func(name string) string {
			if value, ok := values[name[1:len(name)-1]]; ok {
				return value
			}
			return name
		})
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; odata.metadata=minimal")
	h.Set("OData-Version", "4.0")
	if status, _ := number(u.Status); status < 300 { // also 0, which is 200
		for _, line := range r.Header.Values("Prefer") {
			if !u.tracks() {
				line = strings.ReplaceAll(line, "odata.track-changes,", "")
			}
			h.Add("Preference-Applied", line)
		}
	}
	for _, headers := range []map[string]string{u.Headers, u.Header} {
		for name, value := range headers {
			h.Set(name, fill(value))
		}
	}
	status := http.StatusOK
	if n, ok := number(u.Status); ok {
		status = int(n)
	}
	w.WriteHeader(status)
	switch body := u.body().(type) {
	case nil:
	case string:
		_, _ = w.Write([]byte(fill(body)))
	default:
		text, _ := json.Marshal(texts(body, fill))
		_, _ = w.Write(text)
	}
}

// tracks reports whether an answer shows that changes are tracked; only then is the
// preference named as applied.
func (u *upstream) tracks() bool {
	object, _ := u.Body.(map[string]any)
	next, _ := object["@odata.nextLink"].(string)
	decoded, _ := url.QueryUnescape(next)
	return object["@odata.deltaLink"] != nil || strings.Contains(decoded, `istracking="True"`)
}

// body is the body as it is sent, with what is repeated.
func (u *upstream) body() any {
	rows := rowsOf(u.Body)
	if u.RepeatThirdTeam <= 1 {
		return u.Body
	}
	all := slices.Clone(rows[:3])
	for i := 1; i < u.RepeatThirdTeam; i++ {
		all = append(all, texts(rows[2], func(s string) string { return later(s, i) }))
	}
	body := copied(u.Body).(map[string]any)
	body["value"] = append(all, rows[3:]...)
	return body
}

func rowsOf(body any) []any {
	object, _ := body.(map[string]any)
	return listOf(object["value"])
}

var guid = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// later is the i-th GUID after one; other texts stay.
func later(s string, i int) string {
	if !guid.MatchString(s) {
		return s
	}
	var n int
	if _, err := fmt.Sscanf(s[24:], "%012x", &n); err != nil {
		return s
	}
	return s[:24] + fmt.Sprintf("%012x", (n+i)%(1<<48))
}
