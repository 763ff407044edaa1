package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// An exportRequest is what an export was begun with. Who goes on with a file must ask for the
// same.
type exportRequest struct {
	Table   string                 `json:"table"`
	Search  messages.SearchRequest `json:"search"`
	Options messages.JobOptions    `json:"options"`
}

// exportState is what the side file holds: the job, and how much of it the file has.
type exportState struct {
	Form      int           `json:"form"`
	JobID     string        `json:"job_id"`
	Published bool          `json:"published,omitzero"` // JetStream has acknowledged the job
	Page      int           `json:"page"`               // the last page in the file, 0 for none
	Offset    int64         `json:"offset"`             // its end, in bytes from the file's beginning
	Rows      int64         `json:"rows"`
	Whole     bool          `json:"whole,omitzero"` // the last page is in the file
	Request   exportRequest `json:"request"`
}

// exportForm is the form of a side file that this version reads and writes.
const exportForm = 1

// mostState bounds a side file in bytes: a request, which NATS takes in one message, and a
// little more.
const mostState = 1<<20 + 4<<10

// sideFile is the name of the file beside an exported one.
func sideFile(name string) string { return name + ".job" }

// An exportFile is a file that grows page by page. After each page the data is brought to the
// disk before the side file says that it is there, so that what the side file says is true
// after a crash at any time; what the file has beyond that is cut off when it is gone on with.
type exportFile struct {
	name  string
	file  *os.File
	made  bool // there was no file before
	state exportState
}

// openExport begins a file, or goes on with one that an earlier run began.
func openExport(name string, request exportRequest) (opened *exportFile, err error) {
	if folder, err := os.Stat(filepath.Dir(name)); err != nil || !folder.IsDir() {
		return nil, exportError("there is no folder %s", filepath.Dir(name))
	}
	_, err = os.Lstat(name)
	made := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, exportError("%w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // the first error is the one that counts
		}
	}()
	if err := lockFile(file); err != nil {
		return nil, exportError("another export writes %s at the moment", name)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, exportError("%w", err)
	}
	named, err := os.Stat(name)
	switch {
	case !info.Mode().IsRegular():
		return nil, exportError("%s is no file", name)
	case err != nil, !os.SameFile(info, named): // removed by another export that ended before the lock was ours
		return nil, exportError("another export removed or replaced %s at the moment; try again", name)
	}
	f := &exportFile{name: name, file: file, made: made, state: exportState{Form: exportForm, Request: request}}
	begun, err := f.load(request)
	switch {
	case err != nil:
		return nil, err
	case !begun && info.Size() > 0:
		return nil, exportError("%s is there already, and has no %s that says how to go on with it; remove it, or "+
			"choose another name", name, sideFile(name))
	case info.Size() < f.state.Offset:
		return nil, exportError("%s is shorter than %s says; remove both to begin again", name, sideFile(name))
	}
	if err := file.Chmod(0o600); err != nil {
		return nil, exportError("%w", err)
	}
	if err := file.Truncate(f.state.Offset); err != nil {
		return nil, exportError("%w", err)
	}
	if _, err := file.Seek(f.state.Offset, io.SeekStart); err != nil {
		return nil, exportError("%w", err)
	}
	return f, nil
}

func exportError(format string, args ...any) error {
	return fmt.Errorf("%w: --out: "+format, append([]any{bridge.ErrUsage}, args...)...)
}

// load reads the side file, and reports whether there is one. One that was begun with another
// request is an error that says what differs.
func (f *exportFile) load(request exportRequest) (bool, error) {
	side, err := os.Open(sideFile(f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, exportError("%w", err)
	}
	defer side.Close()
	text, err := io.ReadAll(io.LimitReader(side, mostState+1))
	if err != nil {
		return false, exportError("%w", err)
	}
	var state exportState
	bad := len(text) > mostState || json.Unmarshal(text, &state) != nil || state.Form < 1
	switch {
	case !bad && state.Form > exportForm:
		return false, exportError("%s was written by a newer version of this command", sideFile(f.name))
	case bad, state.JobID != "" && !messages.ValidJobID(state.JobID), state.Page < 0, state.Offset < 0, state.Rows < 0:
		return false, exportError("%s cannot be read; remove it and %s to begin again", sideFile(f.name), f.name)
	}
	differs, err := differing(state.Request, request)
	if err != nil {
		return false, err
	}
	if differs != "" {
		return false, exportError("%s was begun with another %s; ask for the same to go on with it, or remove it and %s "+
			"to begin again", f.name, differs, sideFile(f.name))
	}
	f.state = state
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
		{"--sequential", was.Options.Parallel, is.Options.Parallel}, {"request", was, is},
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

// append writes one page.
func (f *exportFile) append(chunk []byte, rows int, result *messages.Result) error {
	if _, err := f.file.Write(chunk); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	f.state.Page = result.Page
	f.state.Offset += int64(len(chunk))
	f.state.Rows += int64(rows)
	f.state.Whole = result.Last
	return f.save()
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

// finish removes the side file of a whole one.
func (f *exportFile) finish() error {
	_ = os.Remove(newFile(sideFile(f.name))) // of a run that was killed; usually there is none
	if err := os.Remove(sideFile(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the file is whole: %w", err)
	}
	return syncFolder(filepath.Dir(f.name))
}

// forget removes what an export left that has brought nothing.
func (f *exportFile) forget() {
	_ = os.Remove(newFile(sideFile(f.name)))
	_ = os.Remove(sideFile(f.name)) // where that fails, the next run meets the same error again
	_ = os.Remove(f.name)
}

// close lets the file go. One that was made for an export that has not begun is removed.
func (f *exportFile) close() {
	if f.made && f.state.JobID == "" {
		_ = os.Remove(f.name) // it is empty, and the next run takes an empty one too
	}
	_ = f.file.Close() // everything that counts has been brought to the disk
}

// replaceFile writes a file of mode 0600 in the place of another one: after a crash there is
// the old one or the new one, also after one of the whole machine. What a crash leaves of the
// new one has a name of its own, and goes with the next write.
func replaceFile(name string, text []byte) error {
	written := newFile(name)
	if err := os.Remove(written); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(written, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(written) // the first error is the one that counts
		return err
	}
	if err := os.Rename(written, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// newFile is where a file is written before it takes its place.
func newFile(name string) string { return name + ".new" }
