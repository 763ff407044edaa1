package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// An exportFile is a file that grows page by page, or with --split the files that are its parts.
// After each page the data is brought to the disk before the side file says that it is there, so
// that what the side file says is true after a crash at any time; what the files have beyond that
// is cut off when they are gone on with.
type exportFile struct {
	name  string   // as it was given; the side file is beside it
	first *os.File // holds the lock: the file, or its first part
	file  *os.File // what is written to; first, or a later part
	made  bool     // there was no file before
	tail  fileTail // of what is written to
	state exportState
}

// openExport begins a file, or goes on with one that an earlier run began.
func openExport(name string, request exportRequest) (opened *exportFile, err error) {
	if folder, err := os.Stat(filepath.Dir(name)); err != nil || !folder.IsDir() {
		return nil, exportError("there is no folder %s", filepath.Dir(name))
	}
	f := &exportFile{name: name, state: newExportState(request)}
	defer func() {
		if err != nil {
			f.release()
		}
	}()
	if err := f.lock(); err != nil {
		return nil, err
	}
	begun, err := f.load(request)
	if err == nil {
		err = f.inPlace(begun)
	}
	if err == nil && f.state.Part > 0 {
		f.file, err = openPart(f.part(f.state.Part))
	}
	if err == nil {
		err = f.rewind()
	}
	if err != nil {
		if f.made {
			_ = os.Remove(f.part(0)) // it is empty, and not what somebody had
		}
		return nil, err
	}
	return f, nil
}

func exportError(format string, args ...any) error {
	return fmt.Errorf("%w: --out: "+format, append([]any{bridge.ErrUsage}, args...)...)
}

// lock opens the file, or the first part, and keeps other exports off.
func (f *exportFile) lock() error {
	name := f.part(0)
	info, err := os.Lstat(name)
	f.made = errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil && info.Mode().Type() == fs.ModeSymlink:
		return exportError("%s is a link; name the file that it leads to", name)
	case err == nil && !info.Mode().IsRegular():
		return exportError("%s is no file", name)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|openPlain, 0o600)
	if err != nil {
		f.made = false
		return exportError("%w", err)
	}
	f.first, f.file = file, file
	if err := lockFile(file); err != nil {
		f.made = false
		return exportError("another export writes %s at the moment", name)
	}
	if info, err = file.Stat(); err != nil {
		return exportError("%w", err)
	}
	named, err := os.Stat(name)
	switch {
	case !info.Mode().IsRegular():
		return exportError("%s is no file", name)
	case err != nil, !os.SameFile(info, named): // removed by another export that ended before the lock was ours
		f.made = false
		return exportError("another export removed or replaced %s at the moment; try again", name)
	}
	return nil
}

// inPlace finds files that are there and should not be, and those that should be and are not.
func (f *exportFile) inPlace(begun bool) error {
	if !begun {
		for _, name := range f.there() {
			return exportError("%s is there already, and has no %s that says how to go on with it; move it away, "+
				"or choose another name", name, sideFile(f.name))
		}
	}
	for number := range f.state.Part {
		if info, err := os.Stat(f.part(number)); err != nil || info.Size() == 0 {
			return exportError("%s is not there any more, and %s says that it was written; move the other parts "+
				"away and remove %s to begin again", f.part(number), sideFile(f.name), sideFile(f.name))
		}
	}
	return nil
}

// rewind goes to the end of what the side file says.
func (f *exportFile) rewind() error {
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return exportError("%w", err)
	case info.Size() < f.state.Offset:
		return exportError("%s is shorter than %s says; move it away and remove %s to begin again",
			f.part(f.state.Part), sideFile(f.name), sideFile(f.name))
	}
	if err := f.checkTail(); err != nil {
		return err
	}
	if err := f.file.Chmod(0o600); err != nil {
		return exportError("%w", err)
	}
	if err := f.file.Truncate(f.state.Offset); err != nil {
		return exportError("%w", err)
	}
	if _, err := f.file.Seek(f.state.Offset, io.SeekStart); err != nil {
		return exportError("%w", err)
	}
	return f.removeParts(f.state.Part + 1)
}

// append writes one page, and its rows to as many parts as they take.
func (f *exportFile) append(page *exportPage, result *messages.Result) error {
	next, tail := f.state, f.tail
	for from := 0; ; {
		rows := len(page.ends) - from
		if split := next.Request.Shape.Split; split > 0 {
			if rows > 0 && next.PartRows == split {
				if err := f.nextPart(&next, rows); err != nil {
					return err
				}
			}
			rows = int(min(int64(rows), split-next.PartRows))
		}
		text := page.text(from, from+rows)
		if next.Offset == 0 {
			tail = nil
			text = append(page.header[:len(page.header):len(page.header)], text...)
		}
		if _, err := f.file.Write(text); err != nil {
			return fmt.Errorf("write %s: %w", f.part(next.Part), err)
		}
		next.Offset += int64(len(text))
		tail = tail.with(text)
		next.Rows += int64(rows)
		next.PartRows += int64(rows)
		if from += rows; from == len(page.ends) {
			break
		}
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.part(next.Part), err)
	}
	next.Page, next.Whole, next.Begun, next.Tail = result.Page, result.Last, next.Part, tail.sum()
	if next.Request.Shape.Split == 0 {
		next.PartRows = 0 // which the first form of a side file does not have
	}
	f.state, f.tail = next, tail
	return f.save()
}

// finish removes the side file of a whole one.
func (f *exportFile) finish() error {
	f.removeLeftovers()
	if err := os.Remove(sideFile(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the file is whole: %w", err)
	}
	return syncFolder(filepath.Dir(f.name))
}

// forget removes what an export left that has brought nothing.
func (f *exportFile) forget() {
	f.removeLeftovers()
	_ = os.Remove(sideFile(f.name)) // where that fails, the next run meets the same error again
	_ = os.Remove(f.part(0))
}

// removeLeftovers removes what crashes have left of writes to the side file.
func (f *exportFile) removeLeftovers() {
	removeLeftovers(sideFile(f.name))
	_ = os.Remove(sideFile(f.name) + ".new") // as the release before named it; it is in nobody's way
}

// close lets the file go. One that was made for an export that has not begun is removed.
func (f *exportFile) close() {
	if f.made && f.state.JobID == "" {
		_ = os.Remove(f.part(0)) // it is empty, and the next run takes an empty one too
	}
	f.release()
}

// release closes what is open: everything that counts has been brought to the disk.
func (f *exportFile) release() {
	if f.file != f.first {
		_ = f.file.Close()
	}
	if f.first != nil {
		_ = f.first.Close()
	}
}
