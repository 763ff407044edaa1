package bridge

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// releaseProgram takes the pages of the program's file out of this process's memory. What runs
// afterwards is mapped again as it is used, from the kernel's cache of the file and 16 pages at a
// time; what does not is the kernel's to keep or not. A kernel that does not tell of mappings, or
// refuses, leaves everything as it was.
func releaseProgram() {
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer file.Close()
	for _, m := range unchanged(file) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.begin, m.end-m.begin, syscall.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ begin, end uintptr }

// unchanged are the mappings in the form of proc_pid_smaps(5) that hold nothing but what a file
// holds: those of files that may not be written to and of which no page was changed. A linker
// changes some before it takes the right to write away; those pages are nowhere else.
func unchanged(smaps io.Reader) (all []mapping) {
	var candidate mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Bytes()
		if m, readOnly, ok := mappingOf(line); ok {
			candidate = mapping{}
			if readOnly {
				candidate = m
			}
			continue
		}
		changed, found := bytes.CutPrefix(line, []byte("Anonymous:"))
		if found && candidate != (mapping{}) && string(bytes.TrimSpace(changed)) == "0 kB" {
			all = append(all, candidate)
			candidate = mapping{}
		}
	}
	return all
}

// mappingOf reads the first line of a mapping: addresses, rights, offset, device, inode, file.
func mappingOf(line []byte) (m mapping, readOnly, ok bool) {
	fields := strings.Fields(string(line))
	if len(fields) < 5 {
		return m, false, false
	}
	begin, end, ok := strings.Cut(fields[0], "-")
	if !ok {
		return m, false, false
	}
	first, err := strconv.ParseUint(begin, 16, strconv.IntSize)
	if err != nil {
		return m, false, false
	}
	last, err := strconv.ParseUint(end, 16, strconv.IntSize)
	if err != nil {
		return m, false, false
	}
	rights := fields[1]
	readOnly = len(fields) > 5 && fields[4] != "0" && last > first && (rights == "r-xp" || rights == "r--p")
	return mapping{uintptr(first), uintptr(last)}, readOnly, true
}
