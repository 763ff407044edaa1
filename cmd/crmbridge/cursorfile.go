package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/messages"
)

// A cursor file holds one line: the cursor, and before it the table's name and a colon. A cursor
// without a name is one of accounts, so that files from before there were other tables keep working.

// lockCursor keeps other runs off a cursor file: the one that ends last would put back the place of
// the other. It also finds out before a long run that the folder is missing.
func lockCursor(name string) (*besideLock, error) {
	if folder, err := os.Stat(filepath.Dir(name)); err != nil || !folder.IsDir() {
		return nil, cursorFileError("there is no folder %s", filepath.Dir(name))
	}
	lock, err := lockBeside(name)
	switch {
	case errors.Is(err, errLocked):
		return nil, cursorFileError("another run keeps its cursor in %s at the moment; give each a file of its own", name)
	case err != nil:
		return nil, cursorFileError("%w", err)
	}
	return lock, nil
}

// readCursor reads a cursor that an earlier run kept, "" where there is no file.
func readCursor(name string, table messages.Table) (string, error) {
	// A name may come before the cursor, and a line end after it.
	text, err := files.Read(name, int64(len(table.Name))+1+messages.MaxCursor+2)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", cursorFileError("%w", err)
	}
	of, cursor, named := strings.Cut(strings.TrimSpace(string(text)), ":")
	if !named {
		of, cursor = messages.Accounts.Name, of
	}
	if cursor == "" || len(cursor) > messages.MaxCursor || !isWord(of) || strings.ContainsAny(cursor, " \t\r\n") {
		return "", cursorFileError("%s holds no cursor; remove it to begin with every %s", name, table.One)
	}
	if of != table.Name {
		return "", cursorFileError("%s holds a cursor of %s, and %s need a file of their own", name, of, table.Name)
	}
	return cursor, nil
}

// isWord reports whether a text may be the name of a table: what is no name is not printed.
func isWord(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func cursorFileError(format string, args ...any) error {
	return fmt.Errorf("%w: --cursor-file: "+format, append([]any{bridge.ErrUsage}, args...)...)
}

// writeCursor replaces the file as a whole; see replaceFile.
func writeCursor(name string, table messages.Table, cursor string) error {
	if table.Name != messages.Accounts.Name {
		cursor = table.Name + ":" + cursor
	}
	if err := replaceFile(name, []byte(cursor+"\n")); err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	return nil
}
