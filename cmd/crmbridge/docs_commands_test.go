package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// typedCommands are the commands of crmbridge in lines for a shell, as words. What stands in other
// programs' quotes or substitutions is none.
func typedCommands(shell string) (all [][]string) {
	var words []string
	end := func() {
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:] // set for this command alone
		}
		switch {
		case len(words) > 2 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/crmbridge":
			all = append(all, words[3:])
		case len(words) > 0 && path.Base(words[0]) == "crmbridge":
			all = append(all, words[1:])
		}
		words = nil
	}
	redirected := false
	for shell != "" {
		found := shellPart.FindString(shell)
		if found == "" {
			break // an open quote: what follows cannot be told
		}
		shell = shell[len(found):]
		switch {
		case strings.TrimLeft(found, " \t") == "" || strings.HasPrefix(found, "\\\n") || found[0] == '#':
		case strings.ContainsAny(found[:1], "\n;|&()"):
			end()
		case redirection.MatchString(found):
			redirected = !strings.Contains(found, "&")
		case redirected:
			redirected = false
		default:
			words = append(words, unquoted(found))
		}
	}
	end()
	return all
}

// A shellPart is what a line for a shell begins with: space or a comment, a redirection, what ends
// a command, or a word.
var (
	shellPart = regexp.MustCompile(`(?s)^(?:\\\n|[ \t]+|#[^\n]*|[0-9]?[<>]&?[0-9]?[ \t]*|[\n;|&()]|` +
		`(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;|&()<>'"\\])+)`)
	redirection = regexp.MustCompile(`^[0-9]?[<>]`)
	quotes      = regexp.MustCompile(`(?s)\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)"`)
)

// unquoted is a word without its quotes.
func unquoted(word string) string {
	return quotes.ReplaceAllString(word, "$1$2$3")
}

func TestTypedCommands(t *testing.T) {
	got := typedCommands("NATS_URL=x crmbridge a --b 'c d' > out.csv 2>&1 & # crmbridge no\nnats req x 'crmbridge no'; " +
		"go run ./cmd/crmbridge e \\\n  --f=\"g; h\" | jq\n./crmbridge status 2> log")
	want := [][]string{{"a", "--b", "c d"}, {"e", "--f=g; h"}, {"status"}}
	if len(got) != len(want) {
		t.Fatalf("%q; want %q", got, want)
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("%q; want %q", got[i], want[i])
		}
	}
}

// The commands that documents print for a shell are commands with arguments and flags that there
// are. CHANGELOG.md names those of its time.
func TestDocumentsShowCommandsThatThereAre(t *testing.T) {
	bridgetest.Unraced(t, "documents are read")
	t.Setenv("TOKEN_KEYSET_FILE", "keyset.json") // set by a line of their own
	all, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, name := range filesOf(t, ".md") {
		if name == "CHANGELOG.md" {
			continue
		}
		text := bridgetest.File(t, name)
		for _, block := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```").FindAllStringSubmatch(text, -1) {
			for _, words := range typedCommands(block[1]) {
				shown++
				parser, err := kong.New(newCommands(), kong.Exit(func(int) {}), kong.Writers(t.Output(), t.Output()))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parser.Parse(usual(words)); err != nil {
					t.Errorf("%s: crmbridge %s: %v", name, strings.Join(words, " "), err)
				}
			}
		}
		for _, span := range regexp.MustCompile("`crmbridge ([a-z][^`]*)`").FindAllStringSubmatch(text, -1) {
			checkMention(t, all.Model.Node, name, strings.Fields(span[1]))
		}
	}
	if shown < 20 {
		t.Errorf("only %d commands were found", shown)
	}
}

// checkMention looks for the command that a sentence names, and for its flags.
func checkMention(t *testing.T, node *kong.Node, document string, words []string) {
	t.Helper()
	groups := true
	for i, word := range words {
		at := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
		switch {
		case strings.HasPrefix(word, "--"):
			name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
			flags := slices.Concat(node.AllFlags(false)...)
			if !slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == name }) {
				t.Errorf("%s: crmbridge %s: there is no flag --%s", document, strings.Join(words, " "), name)
			}
		case groups && at >= 0:
			node = node.Children[at]
		case groups && (i == 0 || len(node.Children) > 0) && word == strings.ToLower(word) && word != "…":
			t.Errorf("%s: crmbridge %s: there is no command %s", document, strings.Join(words, " "), word)
			return
		default:
			groups = false // arguments
		}
	}
}

// Variables, streams and subjects that documents name in capitals are in something else than a
// document too. CHANGELOG.md names those of its time.
func TestDocumentsNameVariablesThatThereAre(t *testing.T) {
	bridgetest.Unraced(t, "documents are read")
	var known strings.Builder
	for _, name := range filesOf(t, ".go", ".yml", ".yaml", ".conf", ".service", ".acl", ".example", ".sh", ".mjs", ".py",
		"") {
		if !strings.HasSuffix(name, "docs_commands_test.go") {
			known.WriteString(bridgetest.File(t, name))
		}
	}
	whole := map[string]bool{}
	for _, name := range regexp.MustCompile(`[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+`).FindAllString(known.String(), -1) {
		whole[name] = true
	}
	named := regexp.MustCompile("[`$ {]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`=} ]")
	for _, name := range filesOf(t, ".md") {
		if name == "CHANGELOG.md" {
			continue
		}
		for _, match := range named.FindAllStringSubmatch(bridgetest.File(t, name), -1) {
			if !whole[match[1]] {
				t.Errorf("%s names %s, which there is nowhere else", name, match[1])
			}
		}
	}
}
