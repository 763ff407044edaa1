package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/messages"
)

// An eventFilter is which events are shown; nothing is all.
type eventFilter struct {
	Connections []string `json:"connections,omitzero"`
	Kinds       []string `json:"kinds,omitzero"`
}

// subject is the narrowest one that has all of them: a NATS user may be allowed that one only.
func (f eventFilter) subject() string {
	kind, connection := "*", "*"
	if len(f.Kinds) == 1 {
		kind = f.Kinds[0]
	}
	if len(f.Connections) == 1 {
		connection = f.Connections[0]
	}
	return messages.EventSubject(kind, connection)
}

// shows reports whether an event of this kind and connection is among them.
func (f eventFilter) shows(kind, connection string) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, kind)) &&
		(len(f.Connections) == 0 || slices.Contains(f.Connections, connection))
}

// ordered is the filter in one form, however it was written.
func (f eventFilter) ordered() eventFilter {
	f.Connections, f.Kinds = slices.Clone(f.Connections), slices.Clone(f.Kinds)
	slices.Sort(f.Connections)
	slices.Sort(f.Kinds)
	return eventFilter{slices.Compact(f.Connections), slices.Compact(f.Kinds)}
}

// eventState is what a file of --state holds.
type eventState struct {
	Form     int       `json:"form"`
	Created  time.Time `json:"stream_created"` // when the stream was made; zero before it was first seen
	Sequence uint64    `json:"sequence"`       // of the last message that was dealt with, 0 for none
	EventID  string    `json:"event_id,omitzero"`
	// Passed is up to where the stream held nothing more of what is watched: at Sequence or behind it.
	// Zero in files from before it was kept.
	Passed uint64      `json:"passed,omitzero"`
	Filter eventFilter `json:"filter"`
}

const (
	// eventForm is the form that this version reads and writes.
	eventForm = 1
	// mostEventState bounds a file of --state in bytes: some hundred connections, and a little more.
	mostEventState = 64 << 10
	// placeEvery is how often the place is written while events come without a pause.
	placeEvery = 200 * time.Millisecond
)

// An eventPlace is the place in the stream up to which events have been shown. It is written after
// that, so that what a crash leaves is shown once more and nothing is passed over.
type eventPlace struct {
	name   string // "" where no file keeps it
	lock   *besideLock
	state  eventState
	kept   eventState
	keptAt time.Time
}

// openPlace reads the place from the file, which need not be there, and keeps other watches off it.
func openPlace(name string, filter eventFilter) (place *eventPlace, err error) {
	place = &eventPlace{name: name, state: eventState{Form: eventForm, Filter: filter.ordered()}}
	if name == "" {
		return place, nil
	}
	const besides = 1 << 10 // what the file has beside the filter, and more
	if text, err := json.Marshal(filter); err != nil || len(text) > mostEventState-besides {
		return nil, placeError("so many of --connection and --kind do not fit in the file; follow fewer, or all")
	}
	if folder, err := os.Stat(filepath.Dir(name)); err != nil || !folder.IsDir() {
		return nil, placeError("there is no folder %s", filepath.Dir(name))
	}
	place.lock, err = lockBeside(name)
	switch {
	case errors.Is(err, errLocked):
		return nil, placeError("another watch keeps its place in %s at the moment; give each a file of its own", name)
	case err != nil:
		return nil, placeError("%w", err)
	}
	if err := place.load(); err != nil {
		place.close()
		return nil, err
	}
	return place, nil
}

func placeError(format string, args ...any) error {
	return fmt.Errorf("%w: --state: "+format, append([]any{bridge.ErrUsage}, args...)...)
}

func (p *eventPlace) load() error {
	text, err := files.Read(p.name, mostEventState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return placeError("%w", err)
	}
	var state eventState
	bad := json.Unmarshal(text, &state) != nil || state.Form < 1
	switch {
	case !bad && state.Form > eventForm:
		return placeError("%s was written by a newer version of this command", p.name)
	case bad, state.Created.IsZero():
		return placeError("%s holds no place; remove it to begin anew", p.name)
	}
	if !sameFilter(state.Filter, p.state.Filter) {
		return placeError("%s was begun with another --connection or --kind; ask for the same to go on with it, give "+
			"another file, or remove it to begin anew", p.name)
	}
	p.state, p.kept = state, state
	return nil
}

func sameFilter(a, b eventFilter) bool {
	a, b = a.ordered(), b.ordered()
	return slices.Equal(a.Connections, b.Connections) && slices.Equal(a.Kinds, b.Kinds)
}

// known reports whether there is a place in a stream.
func (p *eventPlace) known() bool { return !p.state.Created.IsZero() }

// seen is up to where nothing that is watched has been missed.
func (s *eventState) seen() uint64 { return max(s.Sequence, s.Passed) }

// pass says that the stream holds nothing of what is watched up to a sequence but what has been
// dealt with.
func (p *eventPlace) pass(sequence uint64) error {
	p.state.Passed = max(p.state.Passed, sequence)
	return p.save()
}

// move moves on. The place is written where that is due, or where nothing more waits.
func (p *eventPlace) move(sequence uint64, id string, more bool) error {
	p.state.Sequence, p.state.EventID = sequence, id
	if more && time.Since(p.keptAt) < placeEvery {
		return nil
	}
	return p.save()
}

// begin sets the place in a stream that was made at a time.
func (p *eventPlace) begin(created time.Time, sequence uint64) error {
	p.state.Created, p.state.Sequence, p.state.EventID, p.state.Passed = created, sequence, "", 0
	return p.save()
}

// save writes the place where it has changed.
func (p *eventPlace) save() error {
	same := p.state.Sequence == p.kept.Sequence && p.state.Created.Equal(p.kept.Created) &&
		p.state.EventID == p.kept.EventID && p.state.seen() == p.kept.seen()
	if p.name == "" || !p.known() || same {
		return nil
	}
	text, err := json.Marshal(p.state, json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		err = replaceFile(p.name, append(bytes.Clone(text), '\n'))
	}
	if err != nil {
		return fmt.Errorf("the place cannot be kept in %s: %w", p.name, err)
	}
	p.kept, p.keptAt = p.state, time.Now()
	return nil
}

// close lets other watches have the file.
func (p *eventPlace) close() { p.lock.unlock() }
