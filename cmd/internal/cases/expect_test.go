package cases

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An outcome is what became of a step.
type outcome struct {
	reply   map[string]any // of several, the last one's members
	rows    int            // of all replies
	took    time.Duration
	calls   []call
	served  []map[string]any // the rows that the upstream tells of
	headers map[string][]string
}

// expectations are the members of expect, beside those of a reply.
func expectations() map[string]func(want any, o outcome) error {
	return map[string]func(want any, o outcome) error{
		"rows": func(want any, o outcome) error {
			if n, ok := number(want); !ok || int(n) != o.rows {
				return fmt.Errorf("%d rows, want %v", o.rows, want)
			}
			return nil
		},
		"next_cursor": func(want any, o outcome) error {
			cursor, _ := o.reply["next_cursor"].(string)
			if there := cursor != ""; want != there && (want != "set" || !there) {
				return fmt.Errorf("next_cursor %q, want %v", cursor, want)
			}
			return nil
		},
		"field_names":      fieldNames,
		"error":            func(want any, o outcome) error { return partly(want, o.reply["error"], "error") },
		"not":              not,
		"for_every_status": func(want any, _ outcome) error { return only(want, true) }, // each has a run of its own
		"answer_within_ms": func(want any, o outcome) error {
			if most, ok := number(want); !ok || o.took > time.Duration(most)*time.Millisecond {
				return fmt.Errorf("the answer took %s, want at most %v ms", o.took, want)
			}
			return nil
		},
		"calls_to": callsTo,
	}
}

// members of replies that may be expected as they are, in part: of an object the
// members that are named, of a list every item; of fields and checks those that are
// named.
var replyMembers = []string{"count", "total", "has_more", "deleted", "fields", "user", "user_id", "business_unit_id", "organization_id",
	"accounts", "account", "contacts", "contact", "leads", "lead", "opportunities", "opportunity", "connection", "connections", "checks", "job", "jobs"}

// known refuses what nobody would check.
func known(expect map[string]any) error {
	for name, want := range expect {
		if expectations()[name] == nil && !slices.Contains(replyMembers, name) {
			return fmt.Errorf("nobody knows how to expect %q; known are %s and the members of replies %s", name,
				strings.Join(slices.Sorted(maps.Keys(expectations())), ", "), strings.Join(replyMembers, ", "))
		}
		if name != "not" {
			continue
		}
		inner, ok := want.(map[string]any)
		if !ok {
			return fmt.Errorf("not %v: it takes an object of what is not expected", want)
		}
		if err := known(inner); err != nil {
			return err
		}
	}
	return nil
}

// faults are the expectations that an outcome does not meet.
func faults(expect map[string]any, o outcome) []error {
	var out []error
	_, wanted := expect["error"]
	if unwanted, ok := expect["not"].(map[string]any); ok && unwanted["error"] != nil {
		wanted = true // it says which error is wrong
	}
	if o.reply["error"] != nil && !wanted {
		text, _ := json.Marshal(o.reply["error"])
		out = append(out, fmt.Errorf("an error: %s", text))
	}
	for _, name := range slices.Sorted(maps.Keys(expect)) {
		if err := meets(name, expect[name], o); err != nil {
			out = append(out, err)
		}
	}
	return out
}

func meets(name string, want any, o outcome) error {
	if expectations()[name] != nil {
		return expectations()[name](want, o)
	}
	return partly(want, o.reply[name], name)
}

func not(want any, o outcome) error {
	for name, inner := range want.(map[string]any) {
		if meets(name, inner, o) == nil {
			return fmt.Errorf("not expected: %s %v", name, inner)
		}
	}
	return nil
}

func only(want, right any) error {
	if want != right {
		return fmt.Errorf("%v is not possible here, only %v", want, right)
	}
	return nil
}

// partly compares what is there with what is wanted. "set" is any value that says
// something, null none; of a message a part is wanted; a list is all items of a list,
// and for one value any of it.
func partly(want, got any, path string) error {
	fault := func() error { return fmt.Errorf("%s is %v, want %v", path, got, want) }
	switch want := want.(type) {
	case nil:
		if got != nil {
			return fault()
		}
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fault()
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if err := partly(want[name], object[name], path+"."+name); err != nil {
				return err
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok {
			for _, one := range want {
				if partly(one, got, path) == nil {
					return nil
				}
			}
			return fault()
		}
		if path == "fields" || path == "checks" {
			return named(want, list, path)
		}
		if len(list) != len(want) {
			return fmt.Errorf("%s has %d items, want %d: %v", path, len(list), len(want), got)
		}
		for i := range want {
			if err := partly(want[i], list[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case json.Number:
		if w, _ := number(want); !sameNumber(w, got) {
			return fault()
		}
	case string:
		text, isText := got.(string)
		n, isNumber := number(got)
		switch {
		case want == "set":
			if got == nil || got == false || isText && text == "" || isNumber && n == 0 {
				return fault()
			}
		case strings.HasSuffix(path, "message") && isText && strings.Contains(strings.ToLower(text), strings.ToLower(want)):
		case got != want:
			return fault()
		}
	default:
		if got != want {
			return fault()
		}
	}
	return nil
}

// named compares items of a list with those of the same name.
func named(want, list []any, path string) error {
	name := func(item any) any {
		object, _ := item.(map[string]any)
		if object["logical_name"] != nil {
			return object["logical_name"]
		}
		return object["name"]
	}
	for _, item := range want {
		i := slices.IndexFunc(list, func(got any) bool { return name(got) != nil && name(got) == name(item) })
		if i < 0 {
			return fmt.Errorf("%s has no %v: %v", path, name(item), list)
		}
		if err := partly(item, list[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	if len(want) == 0 && len(list) > 0 {
		return fmt.Errorf("%s is not empty: %v", path, list)
	}
	return nil
}

func sameNumber(want float64, got any) bool {
	n, ok := number(got)
	return ok && n == want
}

// fieldNames compares the logical names of a list of fields, whatever their order.
func fieldNames(want any, o outcome) error {
	names, err := stringsOf(want)
	if err != nil {
		return err
	}
	var got []string
	for _, field := range listOf(o.reply["fields"]) {
		object, _ := field.(map[string]any)
		name, _ := object["logical_name"].(string)
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		return fmt.Errorf("the fields are %q, want %q", got, names)
	}
	return nil
}

var callsOf = regexp.MustCompile(`^(\w+) of (\w+) with (\w+) (.+)$`)

// callsTo counts requests: to a path, of which the end is enough; or in words,
// "RELATION of SET with COLUMN VALUE", those about rows that the upstream tells of,
// also where a query names their ids.
func callsTo(want any, o outcome) error {
	wanted, ok := want.(map[string]any)
	if !ok {
		return fmt.Errorf("calls_to takes an object, not %v", want)
	}
	for what, count := range wanted {
		most, ok := number(count)
		if !ok {
			return fmt.Errorf("calls_to %s takes a number, not %v", what, count)
		}
		made := 0
		about := func(c call) bool { return callTo(what, c) }
		if m := callsOf.FindStringSubmatch(what); m != nil {
			ids := idsWith(o.served, m[3], m[4])
			if len(ids) == 0 {
				return fmt.Errorf("no row has %s %s", m[3], m[4])
			}
			about = func(c call) bool { return aboutRows(c, m[1], m[2], ids) }
		}
		for _, c := range o.calls {
			if about(c) {
				made++
			}
		}
		if made != int(most) {
			return fmt.Errorf("%d calls to %s, want %v: %.2000s", made, what, count, fmt.Sprint(o.calls))
		}
	}
	return nil
}

func callTo(what string, c call) bool {
	path, query, _ := strings.Cut(what, "?")
	path = "/" + strings.ToLower(strings.TrimPrefix(path, "/"))
	return strings.HasSuffix(strings.ToLower(c.path), path) && strings.Contains(c.query, query)
}

func idsWith(rows []map[string]any, column, value string) []string {
	var ids []string
	for _, row := range rows {
		if row[column] == nil || fmt.Sprint(row[column]) != value {
			continue
		}
		for _, member := range row {
			if text, ok := member.(string); ok && guid.MatchString(text) {
				ids = append(ids, strings.ToLower(text))
			}
		}
	}
	return ids
}

func aboutRows(c call, relation, set string, ids []string) bool {
	path, query := strings.ToLower(c.path), strings.ToLower(c.query)
	return slices.ContainsFunc(ids, func(id string) bool {
		direct := strings.HasSuffix(path, "/"+strings.ToLower(set)+"("+id+")/"+strings.ToLower(relation))
		return direct || strings.Contains(query, id) && (strings.Contains(query, strings.ToLower(relation)) || strings.HasSuffix(path, strings.ToLower(relation)))
	})
}
