package emulator

import (
	"net/http"
	"strconv"
	"strings"
)

// preferences are the Prefer headers that the service honours; applied repeats them for
// Preference-Applied, line by line.
type preferences struct {
	pageSize    int // 0 when absent
	annotations []string
	applied     []string
	tracking    bool // asks for change tracking
}

func parsePreferences(h http.Header) preferences {
	var p preferences
	for _, line := range h.Values("Prefer") {
		var applied []string
		for _, item := range splitOutsideQuotes(line, ',') {
			name, val, _ := strings.Cut(strings.TrimSpace(item), "=")
			val = strings.TrimSpace(val)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "odata.maxpagesize", "maxpagesize":
				n, err := strconv.Atoi(strings.Trim(val, `"`))
				if err != nil || n < 1 {
					continue
				}
				p.pageSize = n
			case "odata.include-annotations":
				for a := range strings.SplitSeq(strings.Trim(val, `"`), ",") {
					p.annotations = append(p.annotations, strings.TrimSpace(a))
				}
			case trackChanges:
				p.tracking = true
			default:
				continue
			}
			applied = append(applied, strings.TrimSpace(item))
		}
		if len(applied) > 0 {
			p.applied = append(p.applied, strings.Join(applied, ","))
		}
	}
	return p
}

func splitOutsideQuotes(s string, sep byte) []string {
	var out []string
	quoted, start := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// annotates says whether the caller wants an annotation: by name, by "Name*", or with "*".
func (p preferences) annotates(name string) bool {
	for _, a := range p.annotations {
		if prefix, ok := strings.CutSuffix(a, "*"); ok && strings.HasPrefix(name, prefix) || a == name {
			return true
		}
	}
	return false
}

const (
	annFormatted  = "OData.Community.Display.V1.FormattedValue"
	annNavigation = "Microsoft.Dynamics.CRM.associatednavigationproperty"
	annLogical    = "Microsoft.Dynamics.CRM.lookuplogicalname"
	annTotal      = "Microsoft.Dynamics.CRM.totalrecordcount"
	annTotalOver  = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"
	annVersion    = "Microsoft.Dynamics.CRM.globalmetadataversion"
)
