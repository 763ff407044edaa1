package emulator

import (
	"strconv"
	"strings"
	"time"
)

// appendJSON writes the cell as the Web API does.
func (c *column) appendJSON(b []byte, x value) []byte {
	if !x.ok {
		return append(b, "null"...)
	}
	switch c.kind {
	case kindGUID, kindLookup:
		return append(x.id.appendTo(append(b, '"')), '"')
	case kindText, kindMemo, kindChoices:
		return appendString(b, x.s)
	case kindMoney:
		return appendScaled(b, x.n, 4)
	case kindDecimal:
		return appendScaled(b, x.n, 10)
	case kindDateTime:
		return append(time.Unix(x.n, 0).UTC().AppendFormat(append(b, '"'), "2006-01-02T15:04:05Z"), '"')
	case kindDate:
		return append(time.Unix(x.n, 0).UTC().AppendFormat(append(b, '"'), "2006-01-02"), '"')
	case kindBool:
		return strconv.AppendBool(b, x.n != 0)
	}
	return strconv.AppendInt(b, x.n, 10)
}

// appendScaled writes ten-thousandths with the given number of decimals (4 or more).
func appendScaled(b []byte, n int64, decimals int) []byte {
	u := uint64(n)
	if n < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/10000, 10)
	b = append(b, '.')
	frac := strconv.FormatUint(10000+u%10000, 10)[1:]
	b = append(b, frac...)
	for range decimals - 4 {
		b = append(b, '0')
	}
	return b
}

// zone is the caller's: Microsoft's sample shows 21:59:01Z as 2:59 PM.
var zone = time.FixedZone("UTC-07:00", -7*3600)

// format is the formatted value in a language; empty means that there is none.
func (c *column) format(v *snapshot, x value, l *language) string {
	if !x.ok {
		return ""
	}
	switch c.kind {
	case kindLookup:
		ref, _ := v.refer(c, x.id)
		return ref.name
	case kindInt, kindBigInt:
		return l.number(x.n)
	case kindMoney:
		return l.money(x.n)
	case kindDecimal:
		return sign(x.n) + l.cents(x.n)
	case kindDateTime:
		return time.Unix(x.n, 0).In(zone).Format(l.moment)
	case kindDate:
		return time.Unix(x.n, 0).UTC().Format(l.date)
	case kindBool, kindChoice, kindState, kindStatus:
		return c.optionLabel(x.n, l)
	case kindChoices:
		var labels []string
		for _, n := range splitChoices(x.s) {
			labels = append(labels, c.optionLabel(int64(n), l))
		}
		return strings.Join(labels, "; ")
	}
	return ""
}

func sign(n int64) string {
	if n < 0 {
		return "-"
	}
	return ""
}

func abs(n int64) int64 { return max(n, -n) }

func splitChoices(s string) []int32 {
	var out []int32
	for f := range strings.SplitSeq(s, ",") {
		if n, err := strconv.ParseInt(strings.TrimSpace(f), 10, 32); err == nil {
			out = append(out, int32(n))
		}
	}
	return out
}
