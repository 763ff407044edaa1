package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/creack/pty"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// onTerminal types a line on a terminal of so many columns, and returns what it shows.
func (r *devRig) onTerminal(folder, line string, columns uint16, more ...string) string {
	r.t.Helper()
	r.prepare(line)
	cmd := exec.Command("sh", "-c", "trap : INT\n"+r.ports.Replace(line))
	cmd.Dir, cmd.Env = folder, append(slices.Clone(r.env), "TERM=xterm-256color")
	cmd.Env = append(cmd.Env, more...)
	if goesOn(line) {
		cmd.Env = append(cmd.Env, "ADMIN_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0")
	}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: columns})
	if err != nil {
		r.t.Fatal(err)
	}
	defer terminal.Close()
	var shown bridgetest.Buffer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(&shown, terminal) // Linux ends it with EIO
		_ = cmd.Wait()
	}()
	if goesOn(line) {
		awaitWords(ended, func() int { return len(shown.String()) })
		_, _ = terminal.Write([]byte{3})
	}
	if asksFirst(line) {
		bridgetest.Await(r.t, "a question", func() error {
			if !strings.Contains(shown.String(), "[y/N]") {
				return errors.New("none")
			}
			return nil
		})
		_, _ = terminal.Write([]byte("y\n"))
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		r.t.Errorf("%s: it does not end", line)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// asksFirst are the commands that a person answers.
func asksFirst(line string) bool {
	return strings.Contains(line, " delete ") && !strings.Contains(line, "--yes")
}

var (
	sequences = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	colours   = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	// whole are words that nobody cuts: URLs, paths and ids are there to be copied.
	whole = regexp.MustCompile(`^ *\S+$`)
)

// widthOf is how many columns a line takes: marks of any script take none.
func widthOf(line string) int {
	return text.StringWidthWithoutEscSequences(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
			return -1
		}
		return r
	}, line))
}

// tooWide are the lines that a terminal of so many columns breaks.
func tooWide(shown string, columns int) []string {
	var wide []string
	for line := range strings.SplitSeq(sequences.ReplaceAllString(shown, ""), "\n") {
		for part := range strings.SplitSeq(line, "\r") { // which is written over
			if widthOf(part) > columns && !whole.MatchString(part) {
				wide = append(wide, part)
			}
		}
	}
	return wide
}

// forPrograms are lines whose output is not laid out: JSON, files and scripts, and a service's log.
// Topics have a test of their own.
var forPrograms = regexp.MustCompile(`--json|\bjq\b|schema \S|--asyncapi|>|keys (generate|rotate|remove)|\bserve\b|` +
	`completion|help (connecting|filters|errors|keys)|--jsonl|--csv`)

// otherTables are lines that stand for accounts, too, in another table's help.
var otherTables = regexp.MustCompile(`crmbridge (contacts|leads|opportunities) |help accounts search`)

// typedWhole are lines of examples that a shell takes only as they are: a quoted text, a path.
var typedWhole = regexp.MustCompile(`^ *(--\S+ |-r |> |mkdir -p |HEALTHCHECK CMD )?` +
	`(\S+|'[^']*'(\)")?|"([^"']|'[^']*')*"|"?\$\(.*|\[.*\])( \\| \|)?$`)

// Help texts fit the terminal, with examples that are copied as they stand there.
func TestHelpFitsTheTerminal(t *testing.T) {
	bridgetest.Unraced(t, "nothing but help texts is printed")
	joined := regexp.MustCompile(`( \\|(\|))\n *`)
	examples := func(help string) (lines []string) {
		for _, line := range examplesIn(help) {
			lines = append(lines, joined.ReplaceAllString(line, "$2 "))
		}
		return lines
	}
	for _, path := range commandPaths(t) {
		var all []string
		for _, columns := range []int{200, 80, 40} {
			t.Setenv("COLUMNS", strconv.Itoa(columns))
			help := helpOf(t, path)
			for _, line := range tooWide(help, columns) {
				if columns > 40 || !typedWhole.MatchString(line) {
					t.Errorf("crmbridge %s --help: wider than %d: %s", path, columns, line)
				}
			}
			if all == nil {
				all = examples(help)
			}
			if have := examples(help); !slices.Equal(have, all) {
				t.Errorf("crmbridge %s --help: examples at %d columns:\n%q\nwant\n%q", path, columns, have, all)
			}
		}
	}
}

// Topics fit the terminal, and nothing of them is lost.
func TestTopicsFitTheTerminal(t *testing.T) {
	bridgetest.Unraced(t, "nothing but help texts is printed")
	for _, topic := range topics {
		blocks, err := topicBlocks(topic.name)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		code := map[string]bool{}
		readBlocks(blocks, code, &words)
		var piped strings.Builder
		if status := run([]string{"help", topic.name}, &piped, io.Discard); status != 0 {
			t.Fatalf("help %s: status %d", topic.name, status)
		}
		for _, columns := range []uint16{40, 80, 200} {
			shown := onPTY(t, bridgetest.Program(t, nil, "help", topic.name), columns)
			for _, line := range tooWide(shown, int(columns)) {
				if !code[strings.TrimSpace(line)] {
					t.Errorf("help %s: wider than %d: %s", topic.name, columns, line)
				}
			}
			left := strings.Fields(shown)
			slices.Sort(left)
			for _, word := range words {
				if at, found := slices.BinarySearch(left, word); found {
					left = slices.Delete(left, at, at+1)
				} else {
					t.Errorf("help %s: %d columns lack %q", topic.name, columns, word)
				}
			}
			for line := range code {
				if !strings.Contains(shown, line) {
					t.Errorf("help %s: %d columns lack the line %q", topic.name, columns, line)
				}
			}
			if columns == 80 && shown != piped.String() {
				t.Errorf("help %s: a pipe has another text than a terminal of 80 columns:\n%s", topic.name, piped.String())
			}
		}
	}
}

// readBlocks are the lines of code, and the words of everything else but the names of columns.
func readBlocks(blocks []term.Block, code map[string]bool, words *[]string) {
	for _, block := range blocks {
		*words = append(*words, strings.Fields(block.Text)...)
		for _, line := range block.Lines {
			code[strings.TrimSpace(line)] = true
		}
		for _, row := range block.Rows {
			*words = append(*words, strings.Fields(strings.Join(row, " "))...)
		}
		for _, item := range block.Items {
			readBlocks(item, code, words)
		}
	}
}

// onPTY runs a command on a terminal of so many columns, and returns what it shows.
func onPTY(t *testing.T, cmd *exec.Cmd, columns uint16) string {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	shown, _ := io.ReadAll(terminal) // Linux ends it with EIO
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(string(shown), "\r\n", "\n")
}

// Colours are for terminals that have them, and people who want them.
func TestColours(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "runs commands and a service on terminals")
	r := newDevRig(t)
	for _, test := range []struct {
		line, variable string
		none           *regexp.Regexp
	}{
		{"crmbridge serve", "NO_COLOR=", nil},
		{"crmbridge serve", "NO_COLOR=1", colours},
		{"crmbridge serve", "TERM=dumb", sequences},
		{"crmbridge accounts export demo --out a.csv", "NO_COLOR=1", colours},
		{"crmbridge accounts export demo --out a.csv", "TERM=dumb", sequences},
		{"crmbridge accounts search demo --limit 3", "NO_COLOR=1", colours},
		{"crmbridge status --watch", "TERM=dumb", sequences},
		{"crmbridge accounts changes demo", "TERM=dumb", sequences},
	} {
		shown := r.onTerminal(t.TempDir(), test.line, 80, test.variable)
		switch {
		case test.none == nil && !colours.MatchString(shown):
			t.Errorf("%s: no colours on a terminal:\n%s", test.line, shown)
		case test.none != nil && test.none.MatchString(shown):
			t.Errorf("%s %s: %q", test.variable, test.line, test.none.FindString(shown))
		}
	}
}

// Whatever a command says fits the terminal that it is said on.
func TestOutputFitsTheTerminal(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "runs every example of every help text on terminals of three widths")
	bridgetest.Unraced(t, "TestExamplesInHelpRunAsTyped runs the same commands, and TestColours those that draw")
	lines := map[string]bool{}
	var order []string
	for _, path := range commandPaths(t) {
		for _, line := range examplesIn(helpOf(t, path)) {
			if !lines[line] && !forPrograms.MatchString(line) && !otherTables.MatchString(line) {
				lines[line], order = true, append(order, line)
			}
		}
	}
	order = append(order, "crmbridge accounts search dmo", "crmbridge accounts search demo --where 'industry = Consultng'",
		"crmbridge accounts serch", "crmbridge connections check nobody", "crmbridge connections get robot",
		"crmbridge accounts search demo --fields id,name,website,city,industry,revenue,created_at,owner,phone")
	show := os.Getenv("CRMBRIDGE_TEST_SHOW") // somebody wants to look
	for _, columns := range []uint16{40, 80, 200} {
		t.Run(fmt.Sprintf("%d columns", columns), func(t *testing.T) {
			t.Parallel()
			r := newDevRig(t)
			for _, line := range order {
				shown := r.onTerminal(t.TempDir(), line, columns)
				if show != "" {
					fmt.Printf("---- %d: %s\n%s\n", columns, line, shown)
				}
				wide := tooWide(shown, int(columns))
				if len(wide) > 0 {
					t.Errorf("%s: wider than %d:\n%s", line, columns, strings.Join(wide, "\n"))
				}
			}
		})
	}
}
