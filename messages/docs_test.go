package messages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// document is the text of a file of the repository.
func document(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A block is a fenced part of a document: what stands after the fence, and the lines up to the next one.
type block struct{ info, text string }

var fenced = regexp.MustCompile("(?ms)^```([^\n`]+)\n(.*?)^```$")

func blocks(t testing.TB, name, language string) []block {
	t.Helper()
	var found []block
	for _, match := range fenced.FindAllStringSubmatch(document(t, name), -1) {
		if match[1] == language || strings.HasPrefix(match[1], language+" ") {
			found = append(found, block{match[1], match[2]})
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no block of %s", name, language)
	}
	return found
}

// What README.md lists is what the code has.
func TestDocumentsListTheContract(t *testing.T) {
	page := document(t, "messages/README.md")
	for _, op := range messages.Operations(messages.Tables()) {
		if !strings.Contains(page, "`"+string(op)+"`") {
			t.Errorf("the operation %s is not listed", op)
		}
	}
	for _, code := range messages.Codes() {
		row := regexp.MustCompile("(?m)^\\| `" + string(code) + "` \\| (\\d+) \\|").FindStringSubmatch(page)
		if row == nil || row[1] != strconv.Itoa(code.Number()) {
			t.Errorf("the error code %s is not listed with its number %d: %q", code, code.Number(), row)
		}
	}
	for _, status := range messages.Statuses() {
		if !strings.Contains(page, "\n| `"+status+"` |") {
			t.Errorf("the status %s is not listed", status)
		}
	}
	for _, state := range messages.JobStates() {
		if !strings.Contains(page, "\n| `"+string(state)+"` |") {
			t.Errorf("the state %s of jobs is not listed", state)
		}
	}
	for _, stream := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream,
		messages.DeadStream, messages.EventsStream} {
		if !strings.Contains(page, "`"+stream+"`") {
			t.Errorf("the stream %s is not listed", stream)
		}
	}
	_, headers, _ := strings.Cut(page, "\n## Headers\n")
	headers, _, _ = strings.Cut(headers, "\n## ")
	for _, header := range []string{messages.HeaderRequestID, messages.HeaderDeadline, messages.HeaderTraceParent,
		messages.HeaderTraceState,
		messages.HeaderPage, messages.HeaderLast, messages.HeaderRows, messages.HeaderTotal,
		messages.HeaderCheckpoint, messages.HeaderIncarnation,
		messages.HeaderContentEncoding, messages.HeaderOperation, messages.HeaderAttempts, messages.HeaderRetryOf,
		messages.HeaderErrorCode,
		messages.HeaderServiceErrorCode, messages.HeaderServiceError} {
		if !strings.Contains(headers, "`"+header+"`") {
			t.Errorf("the header %s is not listed", header)
		}
	}
	for _, kind := range []string{messages.EventConnected, messages.EventReauthorizationRequired, messages.EventDeleted} {
		if !strings.Contains(page, "\n| `"+kind+"` | ") {
			t.Errorf("the event %s is not listed", kind)
		}
	}
	_, types, _ := strings.Cut(page, "### Types and operators")
	for _, op := range messages.Ops() {
		if !regexp.MustCompile("[` ]" + string(op) + "[` ]").MatchString(types) {
			t.Errorf("the operator %s is not listed", op)
		}
	}
}

// The documents' expressions are filters.
func TestDocumentsShowExpressions(t *testing.T) {
	for _, example := range blocks(t, "messages/README.md", "where") {
		if _, err := messages.ParseWhere(strings.TrimSpace(example.text)); err != nil {
			t.Errorf("%s: %v", example.text, err)
		}
	}
}
