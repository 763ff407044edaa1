package main

import (
	"hash/crc32"
	"io"
)

// mostTail is how many bytes before the place where a file is gone on with have to be those that were
// written: whoever has edited the file has moved them, or it.
const mostTail = 4 << 10

// A fileTail is the end of what has been written to a file.
type fileTail []byte

// with is the end after more has been written. It shares no memory with text.
func (t fileTail) with(text []byte) fileTail {
	if len(text) >= mostTail {
		return append(fileTail(nil), text[len(text)-mostTail:]...)
	}
	keep := min(len(t), mostTail-len(text))
	return append(append(make(fileTail, 0, keep+len(text)), t[len(t)-keep:]...), text...)
}

func (t fileTail) sum() uint32 { return crc32.Checksum(t, crc32.MakeTable(crc32.Castagnoli)) }

// checkTail finds out that the file is not as it was left, and keeps what it ends with.
func (f *exportFile) checkTail() error {
	from := max(f.state.Offset-mostTail, 0)
	tail := make(fileTail, f.state.Offset-from)
	if _, err := io.ReadFull(io.NewSectionReader(f.file, from, int64(len(tail))), tail); err != nil {
		return exportError("%w", err)
	}
	edited := f.state.Tail != 0 && tail.sum() != f.state.Tail ||
		len(tail) > 0 && tail[len(tail)-1] != '\n' // which is all that earlier versions let know
	if edited {
		return exportError("%s was changed after it was written, and where to go on is not known any more; undo the "+
			"change, or remove it and %s to begin again", f.part(f.state.Part), sideFile(f.name))
	}
	f.tail = tail
	return nil
}
