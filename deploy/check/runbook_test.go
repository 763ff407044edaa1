package check

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

// parts are those of each section of the runbook, in this order.
var parts = []string{"**What it means.**", "**What to look at.**", "**What to do.**"}

// sections are those of the runbook by their heading, without what stands before the first.
func sections(t *testing.T) (names []string, texts map[string]string) {
	t.Helper()
	texts = map[string]string{}
	for _, section := range strings.Split(file(t, rules.Runbook), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		names, texts[name] = append(names, name), text
	}
	return names, texts
}

// Each alert leads to a section of its own, and each section belongs to an alert.
func TestTheRunbookHasTheAlerts(t *testing.T) {
	names, texts := sections(t)
	var want []string
	for _, a := range rules.Alerts() {
		want = append(want, a.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("the sections are\n%q, the alerts\n%q", names, want)
	}
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			// GitHub's anchor of a heading of one word is the word in lower case.
			page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
			if !strings.HasSuffix(page, "/crmbridge/blob/main/"+rules.Runbook) || anchor != strings.ToLower(rule.Alert) {
				t.Errorf("%s leads to %s", rule.Alert, rule.Annotations["runbook_url"])
			}
		}
	}
	for name, text := range texts {
		at := 0
		for i, part := range parts {
			before, after, found := strings.Cut(text[at:], "\n"+part)
			if !found || strings.Contains(after, "\n"+part) {
				t.Fatalf("%s: %s is not there once, in its place", name, part)
			}
			if i > 0 && len(strings.TrimSpace(before)) < 40 {
				t.Errorf("%s: %s says nothing", name, parts[i-1])
			}
			at += len(before) + len(part) + 1
		}
		if len(strings.TrimSpace(text[at:])) < 40 {
			t.Errorf("%s: %s says nothing", name, parts[len(parts)-1])
		}
		if _, look, _ := strings.Cut(text, parts[1]); !shell.MatchString(look) && !promql.MatchString(look) {
			t.Errorf("%s: there is no command", name)
		}
	}
}

var (
	shell  = regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")
	inline = regexp.MustCompile("(?s)`([^`\n]+(?:\n[^`\n]+)?)`")
	promql = regexp.MustCompile("(?s)\n```promql\n(.*?)```\n")
	// ours is a call of crmbridge, by name or in a pod, up to what the shell does with it.
	ours = regexp.MustCompile(`(?:^|\s)/?crmbridge((?: +[^|;&#\s]+)+)`)
)

// commandsOf finds the calls of crmbridge in a page: the words that name the command, and the flags.
func commandsOf(page string) (calls [][2][]string) {
	var texts []string
	for _, block := range shell.FindAllStringSubmatch(page, -1) {
		texts = append(texts, strings.Split(block[1], "\n")...)
	}
	rest := shell.ReplaceAllString(promql.ReplaceAllString(page, "\n"), "\n")
	for _, code := range inline.FindAllStringSubmatch(rest, -1) {
		texts = append(texts, strings.ReplaceAll(code[1], "\n", " "))
	}
	for _, text := range texts {
		// Of the unit, and of the service:
		if strings.HasPrefix(text, "journalctl") || strings.HasPrefix(text, "docker compose logs") {
			continue
		}
		text = strings.TrimPrefix(text, "docker compose exec crmbridge ")
		for _, call := range ours.FindAllStringSubmatch(text, -1) {
			var found [2][]string
			named := true
			for _, word := range strings.Fields(call[1]) {
				name, _, _ := strings.Cut(word, "=")
				named = named && regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(word)
				switch {
				case strings.HasPrefix(word, "-"):
					found[1] = append(found[1], name)
				case named:
					found[0] = append(found[0], word)
				}
			}
			calls = append(calls, found)
		}
	}
	return calls
}

// wrong says what the program does not know of a call of it.
func wrong(t *testing.T, words, flags []string) string {
	t.Helper()
	out, err := exec.Command(crmbridge(t), append(slices.Clone(words), "--help")...).CombinedOutput()
	usage, _, _ := strings.Cut(string(out), "\n")
	call := "crmbridge " + strings.Join(words, " ")
	if err != nil || len(words) == 0 || !strings.HasPrefix(usage+" ", "Usage: "+call+" ") {
		return "there is no " + call
	}
	for _, flag := range flags {
		if !regexp.MustCompile(`(?m)^\s+(?:-\w, +)?` + regexp.QuoteMeta(flag) + `\b`).Match(out) {
			return call + " takes no " + flag
		}
	}
	return ""
}

// What the runbook says to type is there in the program.
func TestTheRunbookNamesCommandsThatAreThere(t *testing.T) {
	calls := commandsOf(file(t, rules.Runbook))
	if len(calls) < 30 {
		t.Fatalf("only %d commands are found", len(calls))
	}
	for _, call := range calls {
		if fault := wrong(t, call[0], call[1]); fault != "" {
			t.Error(fault)
		}
	}
	mistaken := commandsOf("\n```sh\ncrmbridge jobs lisst acme | jq\nkubectl exec x -- /crmbridge doctor --jsonn\n```\n" +
		" and `crmbridge`, `crmbridge status\n  --wach`\n")
	var found []string
	for _, call := range mistaken {
		found = append(found, wrong(t, call[0], call[1]))
	}
	want := []string{"there is no crmbridge jobs lisst acme", "crmbridge doctor takes no --jsonn",
		"crmbridge status takes no --wach"}
	if !slices.Equal(found, want) {
		t.Errorf("of mistaken commands is said %q", found)
	}
}

// The NATS users of deploy/nats.conf have inboxes of their own, of which the command nats learns by
// a flag alone, and LOGS is no command: both are functions, which the page has before its sections.
func TestTheRunbookDefinesItsFunctions(t *testing.T) {
	preface, rest, _ := strings.Cut(file(t, rules.Runbook), "\n## ")
	for name, is := range map[string]string{
		"nats": `nats() { command nats --inbox-prefix="$NATS_INBOX_PREFIX" "$@"; }`,
		"LOGS": `LOGS() { kubectl `,
	} {
		if !regexp.MustCompile(`(?m)^` + name + ` `).MatchString(rest) {
			t.Errorf("the sections do not use %s", name)
		}
		if !strings.Contains(preface, "\n"+is) {
			t.Errorf("%s is not defined as %q", name, is)
		}
	}
}

// runbookQueries are those that the runbook has, one a line.
func runbookQueries(t *testing.T) (all []string) {
	t.Helper()
	for _, block := range promql.FindAllStringSubmatch(file(t, rules.Runbook), -1) {
		all = append(all, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(all) < len(rules.Alerts()) {
		t.Fatalf("the runbook has only %d queries", len(all))
	}
	return all
}
