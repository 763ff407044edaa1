package emulator

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Query functions over dates. Which functions there are and what they take is documented (6.2);
// where their spans begin and end is documented in words only ("within the last seven days
// including today"), and read here so: days are the caller's, weeks begin on Sunday, the last and
// next X days, weeks, months and years reach from now to the beginning or the end of a day, older
// than X ends at the beginning of a day, and hours and minutes count from this moment. Functions
// over fiscal periods are not there.

// maxSpan bounds X; so many years are beyond every date that a column holds.
const maxSpan = 10_000

// span is a stretch of time: from its beginning up to, and without, its end. Nil means open.
type span struct{ from, to *time.Time }

var (
	spanForm = regexp.MustCompile(`^(Last|Next|OlderThan)X(Minutes|Hours|Days|Weeks|Months|Years)$`)
	unitForm = regexp.MustCompile(`^(Last|This|Next)(Week|Month|Year)$`)
)

// dateFunction says whether there is a function of that name over dates, and how many values it takes.
func dateFunction(name string) (values int, ok bool) {
	switch name {
	case "On", "OnOrAfter", "OnOrBefore":
		return 1, true
	case "Today", "Yesterday", "Tomorrow", "Last7Days", "Next7Days":
		return 0, true
	case "LastXMinutes", "NextXMinutes":
		return 0, false
	}
	return btoi(spanForm.MatchString(name)), spanForm.MatchString(name) || unitForm.MatchString(name)
}

// date compiles such a function.
func (p *filterParser) date(a arguments, name string) (predicate, *fault) {
	k := a.property.kind
	if k != kindDateTime && k != kindDate {
		return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
			message: "The condition operator is valid for date columns only."}
	}
	s, fail := p.span(a, name)
	if fail != nil {
		return nil, fail
	}
	// A column of dates alone knows no zone: its days are compared as days.
	unix := func(t *time.Time) int64 {
		if k == kindDate {
			return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC).Unix()
		}
		return t.Unix()
	}
	get, v := a.property.get, p.c.v
	var from, to int64
	if s.from != nil {
		from = unix(s.from)
	}
	if s.to != nil {
		to = unix(s.to)
	}
	return func(r any) bool {
		x := get(v, r)
		return x.ok && (s.from == nil || x.n >= from) && (s.to == nil || x.n < to)
	}, nil
}

// span finds the stretch of time that a function means.
func (p *filterParser) span(a arguments, name string) (span, *fault) {
	now := p.c.s.opts.Now().In(zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	days := func(day time.Time, from, to int) span {
		x, y := day.AddDate(0, 0, from), day.AddDate(0, 0, to)
		return span{&x, &y}
	}
	switch name {
	case "Today":
		return days(today, 0, 1), nil
	case "Yesterday":
		return days(today, -1, 0), nil
	case "Tomorrow":
		return days(today, 1, 2), nil
	case "Last7Days":
		return days(today, -6, 1), nil
	case "Next7Days":
		return days(today, 0, 7), nil
	case "On", "OnOrAfter", "OnOrBefore":
		day, err := time.ParseInLocation("2006-01-02", a.values[0], zone)
		if err != nil || !a.quoted {
			return span{}, badRequest("The value '%s' is not a valid date.", a.values[0])
		}
		s := days(day, 0, 1)
		if name == "OnOrAfter" {
			s.to = nil
		} else if name == "OnOrBefore" {
			s.from = nil
		}
		return s, nil
	}
	if m := unitForm.FindStringSubmatch(name); m != nil {
		return calendar(today, m[2], map[string]int{"Last": -1, "This": 0, "Next": 1}[m[1]]), nil
	}
	m := spanForm.FindStringSubmatch(name)
	n, err := strconv.Atoi(a.values[0])
	if err != nil || a.quoted || n < 1 || n > maxSpan {
		return span{}, &fault{status: http.StatusBadRequest, code: codeArgument,
			message: fmt.Sprintf("The value given for the operator %s must be a positive whole number.", name)}
	}
	return relative(now, today, m[1], m[2], n), nil
}

// calendar is the week, month or year of a day, or the one before or after it.
func calendar(day time.Time, unit string, by int) span {
	var from, to time.Time
	switch unit {
	case "Week":
		from = day.AddDate(0, 0, 7*by-int(day.Weekday()))
		to = from.AddDate(0, 0, 7)
	case "Month":
		from = time.Date(day.Year(), day.Month()+time.Month(by), 1, 0, 0, 0, 0, zone)
		to = from.AddDate(0, 1, 0)
	default:
		from = time.Date(day.Year()+by, 1, 1, 0, 0, 0, 0, zone)
		to = from.AddDate(1, 0, 0)
	}
	return span{&from, &to}
}

// relative is the last or the next n units, or all that is older.
func relative(now, today time.Time, which, unit string, n int) span {
	if which != "Next" {
		n = -n
	}
	move := func(t time.Time) time.Time {
		switch unit {
		case "Minutes":
			return t.Add(time.Duration(n) * time.Minute)
		case "Hours":
			return t.Add(time.Duration(n) * time.Hour)
		case "Days":
			return t.AddDate(0, 0, n)
		case "Weeks":
			return t.AddDate(0, 0, 7*n)
		case "Months":
			return t.AddDate(0, n, 0)
		}
		return t.AddDate(n, 0, 0)
	}
	edge := today
	if strings.HasSuffix(unit, "Hours") || strings.HasSuffix(unit, "Minutes") {
		edge = now
	} else if which == "Next" {
		edge = today.AddDate(0, 0, 1)
	}
	edge = move(edge)
	switch which {
	case "Last":
		end := now.Add(time.Second) // this second is within
		return span{&edge, &end}
	case "Next":
		return span{&now, &edge}
	}
	return span{nil, &edge}
}
