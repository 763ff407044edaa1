package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// typed is a command line up to the cursor, as a shell hands it over to be completed.
type typed struct {
	shell string   // bash, zsh or fish
	words []string // without quotes and assignments before the command; the first is the command
	// assigned are the variables that are set on the line, before the command.
	assigned map[string]string

	last   string // the word at the cursor, without quotes; "" after a blank
	tail   string // that word's end as it is typed, which bash puts the candidate in the place of
	quoted bool   // the cursor is between quotes
}

// Variables by which a shell hands a line over. bash sets the first three itself.
const (
	lineVariable   = "COMP_LINE"
	pointVariable  = "COMP_POINT"
	breaksVariable = "COMP_WORDBREAKS"
	shellVariable  = "CRMBRIDGE_COMPLETE" // set by the scripts of 'crmbridge completion'
)

// longestLine is where a line is not completed any more, in bytes.
const longestLine = 64 << 10

// typedLine is the line to complete; ok is false where this is no completion. A shell starts the
// program for one without arguments, or as bash's complete -C does: with the command's name, the
// word and the word before. A variable that was left in the environment changes no other command.
func typedLine(args []string) (line typed, ok bool) {
	text := os.Getenv(lineVariable)
	if text == "" || len(args) > 0 && (len(args) != 3 || !ownName(args[0])) {
		return line, false
	}
	if len(text) > longestLine || !utf8.ValidString(text) {
		return line, true // nothing is known of it
	}
	if at, err := strconv.Atoi(os.Getenv(pointVariable)); err == nil { // in characters
		runes := []rune(text)
		text = string(runes[:max(0, min(at, len(runes)))])
	}
	shell := os.Getenv(shellVariable)
	if shell != "zsh" && shell != "fish" {
		shell = "bash"
	}
	breaks, given := os.LookupEnv(breaksVariable)
	if !given {
		breaks = " \t\n\"'@><=;|&(:"
	}
	return splitLine(text, shell, breaks), true
}

func ownName(name string) bool {
	base := filepath.Base(name)
	return base == "crmbridge" || base == filepath.Base(os.Args[0])
}

// splitLine parts a line into words as the shell would, without expanding anything.
func splitLine(text, shell, breaks string) typed {
	line := typed{shell: shell, assigned: map[string]string{}}
	var word strings.Builder
	within := false // a word has begun
	var quote rune
	tail := 0 // where what bash replaces begins
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		next := at + size
		switch {
		case r == '\\' && escapes(text[next:], quote, shell):
			escaped, more := utf8.DecodeRuneInString(text[next:])
			word.WriteString(strings.Trim(string(escaped), "\n")) // a line that goes on
			within, next = true, next+more
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, within, tail = r, true, next
		case r == ' ' || r == '\t' || r == '\n':
			line.end(&word, &within)
			tail = next
		default:
			within = true
			word.WriteRune(r)
			if strings.ContainsRune(breaks, r) {
				tail = next
			}
		}
		at = next
	}
	line.last, line.tail, line.quoted = word.String(), text[tail:], quote != 0
	return line
}

// end puts a word to the others.
func (t *typed) end(word *strings.Builder, within *bool) {
	if *within {
		name, value, assigns := strings.Cut(word.String(), "=")
		if assigns && len(t.words) == 0 && !strings.ContainsFunc(name, notInVariables) {
			t.assigned[name] = value
		} else {
			t.words = append(t.words, word.String())
		}
	}
	word.Reset()
	*within = false
}

func notInVariables(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// escapes reports whether a backslash escapes what follows it.
func escapes(after string, quote rune, shell string) bool {
	if after == "" {
		return false
	}
	switch {
	case quote == '"':
		return strings.ContainsRune("$`\"\\\n", rune(after[0]))
	case quote == '\'' && shell == "fish":
		return after[0] == '\'' || after[0] == '\\'
	case quote == '\'':
		return false
	}
	return true
}

// written is a candidate as the shell wants it: what it is longer by than the word so far is rest.
// zsh and fish put it in the place of the whole word and quote it themselves, bash in the place
// of the tail as it is.
func (t *typed) written(rest string) string {
	if t.shell != "bash" {
		return t.last + rest
	}
	if t.quoted {
		return t.tail + rest
	}
	var out strings.Builder
	out.WriteString(t.tail)
	for _, r := range rest {
		if notInVariables(r) && !strings.ContainsRune("-.,:=/", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
