package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// A file is one case.
type file struct {
	About string `json:"about"`
	Steps []step `json:"steps"`
}

type step struct {
	Request  request        `json:"request"`
	Upstream []upstream     `json:"upstream"`
	Expect   map[string]any `json:"expect"`
}

type request struct {
	Subject string            `json:"subject"`
	Body    any               `json:"body"`
	Headers map[string]string `json:"headers"`
}

// read decodes a case strictly: a member that this test does not know would be a
// demand that nobody checks.
func read(name string) (file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	return parse(text)
}

func parse(text []byte) (file, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	var f file
	if err := decoder.Decode(&f); err != nil {
		return f, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("there is something behind the case")
	}
	if len(f.Steps) == 0 {
		return f, errors.New("the case has no steps")
	}
	for i, s := range f.Steps {
		err := known(s.Expect)
		switch {
		case err != nil:
		case s.Request.Subject == "":
			err = errors.New("the request has no subject")
		case len(s.Expect) == 0:
			err = errors.New("nothing is expected")
		default:
			for _, u := range s.Upstream {
				err = errors.Join(err, u.check())
			}
		}
		if err != nil {
			return f, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return f, nil
}

// maxRuns bounds the runs that lists make of one case.
const maxRuns = 100

// A variant is a case without lists, and what was chosen of them.
type variant struct {
	name string
	file
}

// variants are the runs of a case: one for each combination of what its lists hold.
func (f file) variants() ([]variant, error) {
	runs := []variant{{file: f}}
	for i := range f.Steps {
		for j := range f.Steps[i].Upstream {
			lists := f.Steps[i].Upstream[j].lists()
			for _, list := range lists {
				var next []variant
				for _, run := range runs {
					for _, value := range list.values {
						one := run.clone()
						one.name += fmt.Sprintf(" %v", value)
						one.Steps[i].Upstream[j].choose(list, value)
						next = append(next, one)
					}
				}
				if runs = next; len(runs) == 0 || len(runs) > maxRuns {
					return nil, fmt.Errorf("the lists make %d runs, of at most %d", len(runs), maxRuns)
				}
			}
		}
	}
	return runs, nil
}

func (v variant) clone() variant {
	out := variant{name: v.name, file: file{About: v.About}}
	for _, s := range v.Steps {
		s.Upstream = append([]upstream{}, s.Upstream...)
		for i := range s.Upstream {
			s.Upstream[i].Body = copied(s.Upstream[i].Body)
		}
		out.Steps = append(out.Steps, s)
	}
	return out
}

// copied is a deep copy of a JSON value.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, m := range v {
			out[k] = copied(m)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, m := range v {
			out[i] = copied(m)
		}
		return out
	}
	return v
}

// texts is a copy of a JSON value with every string changed.
func texts(v any, change func(string) string) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, m := range v {
			out[k] = texts(m, change)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, m := range v {
			out[i] = texts(m, change)
		}
		return out
	}
	return v
}

// number is a JSON number of a case as a float, false where it is none.
func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(n), 64)
	return f, err == nil
}
