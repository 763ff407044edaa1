package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/messages"
)

// An exportRequest is what an export was begun with. Who goes on with a file must ask for the
// same.
type exportRequest struct {
	Table   string                 `json:"table"`
	Search  messages.SearchRequest `json:"search"`
	Options messages.JobOptions    `json:"options"`
	Shape   exportShape            `json:"shape,omitzero"`
}

// An exportShape is how rows stand in files, where that is not one file as it always was.
type exportShape struct {
	Columns     columns `json:"columns,omitempty"`
	Split       int64   `json:"split,omitzero"` // rows of one file at most; 0 for one file
	Spreadsheet bool    `json:"spreadsheet,omitzero"`
}

func (s exportShape) plain() bool { return len(s.Columns) == 0 && s.Split == 0 && !s.Spreadsheet }

// exportState is what the side file holds: the job, and how much of it the file has.
type exportState struct {
	Form      int    `json:"form"`
	JobID     string `json:"job_id"`
	Published bool   `json:"published,omitzero"` // JetStream has acknowledged the job
	Page      int    `json:"page"`               // the last page in the file, 0 for none
	Offset    int64  `json:"offset"`             // its end, in bytes from the beginning of the file, or of the part
	Rows      int64  `json:"rows"`
	Whole     bool   `json:"whole,omitzero"` // the last page is in the file
	// Tail is the CRC-32 (Castagnoli) of the last bytes before Offset, 0 where an earlier version wrote this.
	Tail uint32 `json:"tail_crc32c,omitzero"`
	// Part is the part that is written, 0 for the first. PartRows are in it. Begun is the last one that
	// there may be already: a page may reach over many.
	Part     int           `json:"part,omitzero"`
	PartRows int64         `json:"part_rows,omitzero"`
	Begun    int           `json:"begun,omitzero"`
	Request  exportRequest `json:"request"`
}

// Forms of a side file. Versions that know none but the first one would go on with a file of another
// shape as if it had none; they refuse a newer form. So one of the usual shape keeps the first.
const (
	plainForm  = 1
	shapedForm = 2
)

func newExportState(request exportRequest) exportState {
	state := exportState{Form: plainForm, Request: request}
	if !request.Shape.plain() {
		state.Form = shapedForm
	}
	return state
}

// sound reports whether a state that was read can be one that was written.
func (s *exportState) sound() bool {
	return (s.JobID == "" || messages.ValidJobID(s.JobID)) && s.Page >= 0 && s.Offset >= 0 && s.Rows >= 0 &&
		s.Part >= 0 && s.PartRows >= 0 && s.Begun >= s.Part && s.Begun-s.Part <= mostBegun &&
		(s.Request.Shape.Split > 0 || s.Begun == 0)
}

// mostBegun bounds the parts that one page makes: no page has more rows.
const mostBegun = 1 << 20

// mostState bounds a side file in bytes: a request, which NATS takes in one message, and a
// little more.
const mostState = 1<<20 + 4<<10

// sideFile is the name of the file beside an exported one.
func sideFile(name string) string { return name + ".job" }

// load reads the side file, and reports whether there is one. One that was begun with another
// request is an error that says what differs.
func (f *exportFile) load(request exportRequest) (bool, error) {
	text, err := files.Read(sideFile(f.name), mostState)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, exportError("%w", err)
	}
	var state exportState
	bad := json.Unmarshal(text, &state) != nil || state.Form < 1
	switch {
	case !bad && state.Form > shapedForm:
		return false, exportError("%s was written by a newer version of this command", sideFile(f.name))
	case bad, !state.sound():
		return false, exportError("%s cannot be read, so that nobody can go on with %s, which is left as it is "+
			"and may be your only copy: move it away, and remove %s, to begin again", sideFile(f.name), f.files(),
			sideFile(f.name))
	}
	differs, err := differing(state.Request, request)
	if err != nil {
		return false, err
	}
	if differs != "" {
		return false, exportError("%s was begun with another %s; ask for the same to go on with it, or move it away and "+
			"remove %s to begin again", f.name, differs, sideFile(f.name))
	}
	f.state = state
	f.state.Form = newExportState(request).Form
	return true, nil
}

// differing names what two requests do not have in common, "" where they are the same.
func differing(was, is exportRequest) (string, error) {
	for _, part := range []struct {
		name    string
		was, is any
	}{
		{"table", was.Table, is.Table}, {"connection", was.Search.Target, is.Search.Target},
		{"--where", was.Search.Where, is.Search.Where}, {"--fields", was.Search.Fields, is.Search.Fields},
		{"--order-by", was.Search.OrderBy, is.Search.OrderBy}, {"--limit", was.Search.Limit, is.Search.Limit},
		{"--total", was.Search.IncludeTotal, is.Search.IncludeTotal},
		{"--zstd", was.Options.Encoding, is.Options.Encoding},
		{"--sequential", was.Options.Parallel, is.Options.Parallel},
		{"--columns", was.Shape.Columns, is.Shape.Columns}, {"--split", was.Shape.Split, is.Shape.Split},
		{"--spreadsheet", was.Shape.Spreadsheet, is.Shape.Spreadsheet}, {"request", was, is},
	} {
		a, err := canonical(part.was)
		if err != nil {
			return "", err
		}
		b, err := canonical(part.is)
		if err != nil {
			return "", err
		}
		if a != b {
			return part.name, nil
		}
	}
	return "", nil
}

// canonical is a value's JSON, the same for equal values.
func canonical(value any) (string, error) {
	text, err := json.Marshal(value, json.Deterministic(true), json.FormatNilSliceAsNull(true))
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	out := jsontext.Value(text)
	if err := out.Compact(); err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	return string(out), nil
}

// save replaces the side file as a whole, and sees to it that it outlives a power cut.
func (f *exportFile) save() (err error) {
	text, err := json.Marshal(f.state, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write %s: %w", sideFile(f.name), err)
	}
	if len(text) > mostState {
		return messages.Errorf(messages.TooLarge, "the request is larger than a NATS server takes")
	}
	if err := replaceFile(sideFile(f.name), append(text, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", sideFile(f.name), err)
	}
	return nil
}
