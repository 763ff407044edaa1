package dynamics

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

//go:generate go test -run ^TestCodesAreDocumented$ -update .

var update = flag.Bool("update", false, "write CODES.md anew")

const codesFile = "CODES.md"

// CODES.md says what the code does: its cells come from running it.
func TestCodesAreDocumented(t *testing.T) {
	want := codesPage()
	if *update {
		if err := os.WriteFile(codesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(codesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s does not show the table of codes; write it anew: go generate ./dynamics", codesFile)
	}
}

const codesHead = `# What Dataverse's error codes mean to crmbridge

Made from the table in codes.go by ` + "`go generate ./dynamics`" + `; a test fails when it is stale.

An answer's code goes before its HTTP status. A code that is not listed says nothing: the status decides. 400 is ` + "`invalid`" + `,
401 ` + "`unauthorized`" + `, 403 ` + "`forbidden`" + `, 404 with a body of Dataverse's and no code ` + "`not_found`" + `, 413 and 414 ` + "`too_large`" + `, 429
` + "`throttled`" + `, 408, 502, 503 and 504 ` + "`unavailable`" + `, everything else ` + "`upstream`" + `.

**Again** says after which statuses another attempt is made, if the time of the request allows it. A 429 without a code of this
table is a limit that Dataverse did not name.

| Code | Name | Only | Kind | Limit | Again | What it means | What to mend |
| --- | --- | --- | --- | --- | --- | --- | --- |
`

// codeStatuses are those that the page looks at.
var codeStatuses = []int{400, 403, 404, 408, 429, 500, 502, 503, 504}

func codesPage() string {
	var b strings.Builder
	b.WriteString(codesHead)
	for i := range codeTable {
		c := &codeTable[i]
		var again []string
		for _, status := range codeStatuses {
			if codeOf(c.Number).mayRetry(status) {
				again = append(again, fmt.Sprint(status))
			}
		}
		tries := strings.Join(again, ", ")
		switch {
		case len(again) == len(codeStatuses):
			tries = "always"
		case len(again) == 0:
			tries = "never"
		}
		limit := (&Error{Kind: c.Kind, Status: 429, Code: c.Number}).limit()
		limitText := ""
		if limit != NoLimit {
			limitText = limit.String()
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s | %s | %s | %s |\n", c.Number, c.Name, conditionTexts[c.when], c.Kind,
			limitText, tries, c.Means, c.Fix)
	}
	return b.String()
}

// Every code has one line, in lower case, with a kind that its condition lets decide and
// a meaning; and answers become of that kind.
func TestEveryCodeDecides(t *testing.T) {
	form := regexp.MustCompile(`^0x[0-9a-f]{8}$`)
	seen := map[string]bool{}
	for i := range codeTable {
		c := &codeTable[i]
		if !form.MatchString(c.Number) || seen[c.Number] || c.Kind == 0 || c.Means == "" || c.KeptOut && c.Fix == "" ||
			c.Query && c.Limit != NoLimit {
			t.Errorf("%+v", c)
		}
		seen[c.Number] = true
		status := map[condition]int{always: 418, unless401: 400, only404: 404, only400: 400}[c.when]
		if got := kindOf(status, strings.ToUpper(c.Number), nil); status != 0 && got != c.Kind {
			t.Errorf("%s with %d is %v, want %v", c.Number, status, got, c.Kind)
		}
		if other := kindOf(http.StatusUnauthorized, c.Number, nil); c.when != always && other != Unauthorized {
			t.Errorf("%s with 401 is %v", c.Number, other)
		}
		if known, ok := CodeOf(strings.ToUpper(c.Number)); !ok || known.Means != c.Means {
			t.Errorf("%s is not found", c.Number)
		}
	}
	if known, ok := CodeOf("0x80040216"); ok || known.Kind != 0 {
		t.Errorf("an unknown code is %+v", known)
	}
}
