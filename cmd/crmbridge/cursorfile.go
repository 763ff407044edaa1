package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// readCursor reads a cursor that an earlier run kept, "" where there is no file.
// It also finds out before a long run that its folder is missing.
func readCursor(name string) (string, error) {
	if folder, err := os.Stat(filepath.Dir(name)); err != nil || !folder.IsDir() {
		return "", fmt.Errorf("%w: --cursor-file: there is no folder %s", bridge.ErrUsage, filepath.Dir(name))
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: --cursor-file: %w", bridge.ErrUsage, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, messages.MaxCursor+2)) // a line end may follow the cursor
	if err != nil {
		return "", fmt.Errorf("%w: --cursor-file: %w", bridge.ErrUsage, err)
	}
	cursor := strings.TrimSpace(string(text))
	if cursor == "" || len(cursor) > messages.MaxCursor || strings.ContainsAny(cursor, " \t\r\n") {
		return "", fmt.Errorf("%w: --cursor-file: %s holds no cursor; remove it to begin with every account", bridge.ErrUsage, name)
	}
	return cursor, nil
}

// writeCursor replaces the file as a whole: a reader, and a run after a crash,
// finds the old cursor or the new one. Only its owner may read it.
func writeCursor(name, cursor string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // has mode 0600
	if err != nil {
		return fmt.Errorf("keep the cursor: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // the first error is the one that counts
			_ = os.Remove(file.Name())
			err = fmt.Errorf("keep the cursor: %w", err)
		}
	}()
	if _, err := io.WriteString(file, cursor+"\n"); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
