package main

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// filesOf are the repository's files whose names have one of the endings, from its root. What git
// does not have is left out as far as its folders go.
func filesOf(t *testing.T, endings ...string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "node_modules", "secrets"}, entry.Name()):
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains(endings, path.Ext(entry.Name())):
			name, err := filepath.Rel(root, at)
			names = append(names, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// embedded are sections of other documents, which the program shows without their links.
const embedded = "cmd/crmbridge/topics/"

// A link of a document leads to a file, from the root, and perhaps to a heading of it.
type link struct {
	target, heading string
	picture         bool
}

func (l link) String() string { return l.target + "#" + l.heading }

var (
	fence    = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.*?)[ #]*$`)
	codeSpan = regexp.MustCompile("``.*?``|`[^`]*`")
	linked   = regexp.MustCompile(`(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(((?:[^()\s]|\([^()\s]*\))+)\)`)
)

// linksOf are the links of a document within the repository; those in code are none.
func linksOf(name, text string) (links []link, err error) {
	text = codeSpan.ReplaceAllString(fence.ReplaceAllString(text, ""), "code")
	for rest := []string{text}; len(rest) > 0; {
		text, rest = rest[0], rest[1:]
		for _, match := range linked.FindAllStringSubmatch(text, -1) {
			rest = append(rest, match[2]) // a picture that is a link
			u, err := url.Parse(match[3])
			if err != nil {
				return nil, err
			}
			if u.Scheme != "" || u.Host != "" {
				continue
			}
			to := link{target: name, heading: u.Fragment, picture: match[1] != ""}
			if u.Path != "" {
				to.target = path.Join(path.Dir(name), u.Path)
			}
			links = append(links, to)
		}
	}
	return links, nil
}

// headings are the names that GitHub gives the headings of a document: lower case, without
// punctuation, a hyphen for each space, and a number behind one that is there already.
func headings(text string) []string {
	var names []string
	seen := map[string]int{}
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch r = unicode.ToLower(r); {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
				return r
			}
			return -1
		}, linked.ReplaceAllString(match[1], "$2"))
		if n := seen[name]; n > 0 {
			names = append(names, fmt.Sprintf("%s-%d", name, n))
		} else {
			names = append(names, name)
		}
		seen[name]++
	}
	return names
}

// anchorsOf are the headings of a file of the repository.
func anchorsOf(t *testing.T, name string) []string { return headings(bridgetest.File(t, name)) }

func TestHeadingsAreNamedAsGitHubDoes(t *testing.T) {
	text := "# Is it ready?\n## What `status` says: *all* of it\n```sh\n# a comment\n```\n## Jobs\n### Jobs\n" +
		"## Größe & [more](x.md), 2.0 - snake_case ##\n## Jobs\n"
	want := []string{"is-it-ready", "what-status-says-all-of-it", "jobs", "jobs-1", "größe--more-20---snake_case",
		"jobs-2"}
	if got := headings(text); !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

func TestLinksOfADocument(t *testing.T) {
	got, err := linksOf("a/b.md", "[x](c.md#d) [`e`](../f) `[no](g)` ![p](h.png)\n```\n[no](i)\n```\n[![p](j.svg)](#k) "+
		"[out](https://example.com/l) [two\nlines](m_(n).md)")
	want := []link{{"a/c.md", "d", false}, {"f", "", false}, {"a/h.png", "", true}, {"a/b.md", "k", false},
		{"a/m_(n).md", "", false}, {"a/j.svg", "", true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// Links lead to files and headings that are there, every document is found from README.md, and
// every picture is shown by one.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	bridgetest.Unraced(t, "documents are read")
	leads, shown := map[string][]string{}, map[string]bool{}
	names := filesOf(t, ".md")
	for _, name := range names {
		if strings.HasPrefix(name, embedded) {
			continue
		}
		links, err := linksOf(name, bridgetest.File(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, to := range links {
			info, err := os.Stat(filepath.Join(root, filepath.FromSlash(to.target)))
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case to.heading != "" && !slices.Contains(anchorsOf(t, to.target), to.heading):
				t.Errorf("%s: %s has no heading for #%s", name, to.target, to.heading)
			case info.IsDir(): // shown with its README.md
				leads[name] = append(leads[name], path.Join(to.target, "README.md"))
			}
			leads[name] = append(leads[name], to.target)
			shown[to.target] = shown[to.target] || to.picture
		}
	}
	found := map[string]bool{"README.md": true}
	for rest := []string{"README.md"}; len(rest) > 0; rest = rest[1:] {
		for _, next := range leads[rest[0]] {
			if !found[next] {
				found[next] = true
				rest = append(rest, next)
			}
		}
	}
	for _, name := range names {
		if !found[name] && !strings.HasPrefix(name, embedded) {
			t.Errorf("no link leads from README.md to %s", name)
		}
	}
	for _, name := range filesOf(t, ".svg", ".png") {
		if !shown[name] {
			t.Errorf("no document shows %s", name)
		}
	}
}
