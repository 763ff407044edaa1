package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// part is the name of a part, counted from 0: name-001.csv for name.csv. Without --split there is
// one, the file itself.
func (f *exportFile) part(number int) string {
	if f.state.Request.Shape.Split == 0 {
		return f.name
	}
	ending := filepath.Ext(f.name)
	return fmt.Sprintf("%s-%03d%s", f.name[:len(f.name)-len(ending)], number+1, ending)
}

// there are the files with the names of parts, which are not empty; where nothing is split the file.
func (f *exportFile) there() []string {
	if f.state.Request.Shape.Split == 0 {
		if info, err := f.first.Stat(); err == nil && info.Size() > 0 {
			return []string{f.name}
		}
		return nil
	}
	name := filepath.Base(f.name)
	ending := filepath.Ext(name)
	pattern := regexp.MustCompile(`^` + regexp.QuoteMeta(name[:len(name)-len(ending)]) + `-[0-9]{3,}` +
		regexp.QuoteMeta(ending) + `$`)
	entries, err := os.ReadDir(filepath.Dir(f.name))
	if err != nil {
		return nil // making the next part finds what is in its place
	}
	var names []string
	for _, entry := range entries {
		if !pattern.MatchString(entry.Name()) {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Size() > 0 || err == nil && !info.Mode().IsRegular() {
			names = append(names, filepath.Join(filepath.Dir(f.name), entry.Name()))
		}
	}
	return names
}

// nextPart goes from a part that is full to a new one, while so many rows of a page are left.
func (f *exportFile) nextPart(next *exportState, rows int) error {
	if err := f.begin(next.Part, rows); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.part(next.Part), err)
	}
	name := f.part(next.Part + 1)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("begin the next part: %w", err)
	}
	if f.file != f.first {
		_ = f.file.Close() // it is on the disk
	}
	f.file = file
	next.Part, next.PartRows, next.Offset, next.Begun = next.Part+1, 0, 0, f.state.Begun
	return syncFolder(filepath.Dir(name))
}

// begin says in the side file which parts the rest of a page will make, so that a run after a crash
// knows them from somebody else's files.
func (f *exportFile) begin(part, rows int) error {
	if f.state.Begun > part {
		return nil
	}
	split := int(f.state.Request.Shape.Split)
	last := part + (rows-1)/split + 1
	for number := part + 1; number <= last; number++ {
		if _, err := os.Lstat(f.part(number)); !errors.Is(err, fs.ErrNotExist) {
			return exportError("%s is in the way of the next part; move it elsewhere, and the same command goes on",
				f.part(number))
		}
	}
	f.state.Begun = last
	return f.save()
}

// openPart opens a part that an earlier run began.
func openPart(name string) (*os.File, error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, exportError("%s is no file", name)
	}
	file, err := os.OpenFile(name, os.O_RDWR|openPlain, 0)
	if err != nil {
		return nil, exportError("%w", err)
	}
	return file, nil
}

// removeParts removes those that a run began which was killed before the side file counted them.
func (f *exportFile) removeParts(from int) error {
	for number := from; number <= f.state.Begun; number++ {
		if _, err := os.Lstat(sideFile(f.part(number))); err == nil {
			return exportError("%s is where this export goes on, and belongs to another one, which has %s; finish that "+
				"one and move its file first", f.part(number), sideFile(f.part(number)))
		}
		if err := os.Remove(f.part(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return exportError("%w", err)
		}
	}
	return nil
}

// files names what was written, for people.
func (f *exportFile) files() string {
	switch f.state.Part {
	case 0:
		return f.part(0)
	case 1:
		return f.part(0) + " and " + f.part(1)
	}
	return fmt.Sprintf("%d files, %s to %s", f.state.Part+1, f.part(0), f.part(f.state.Part))
}

// parts names each part, for programs; nil where nothing was split.
func (f *exportFile) parts() []string {
	if f.state.Request.Shape.Split == 0 {
		return nil
	}
	names := make([]string, f.state.Part+1)
	for i := range names {
		names[i] = f.part(i)
	}
	return names
}
