package handlers

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A Sealer encrypts what requesters carry for crmbridge, so that they can
// neither read nor change it. Every process has the same keys.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(sealed, associatedData []byte) ([]byte, error)
}

// cursorLife is how long a cursor of a search, or of a listing of fields, is good for.
const cursorLife = 7 * 24 * time.Hour

// maxCursorPlain bounds an opened cursor: a query at its largest is in it
// twice, once in Dataverse's own link.
const maxCursorPlain = 1 << 20

// A position is where a search goes on, and everything needed for that: the
// query itself, so that a cursor can be sent alone.
type position struct {
	// Issued is when the cursor was made, in Unix seconds.
	Issued int64 `json:"t"`
	// Query is the request, normalized.
	Query jsontext.Value `json:"q"`
	// Link is Dataverse's link to the page to go on in, "" for the first one.
	Link string `json:"l,omitzero"`
	// Marks are the last rows that were delivered from that page, the latest
	// last; none where the page is untouched.
	Marks []mark `json:"m,omitzero"`
	// Rows is how many rows have been delivered in all.
	Rows int `json:"n,omitzero"`
	// Size is how many rows to ask Dataverse for on every page, where fewer than were
	// asked for fit a message; 0 is as many as were asked for.
	Size int `json:"s,omitzero"`
	// Total is what was counted with the first page.
	Total *int64 `json:"c,omitzero"`
}

// A mark is a delivered row. Its Key, a digest of what the rows are ordered by,
// tells whether the row still is where it was: a row that has moved says nothing
// about where to go on.
type mark struct {
	ID  string `json:"i"`
	Key uint64 `json:"k,string"`
}

// maxMarks is how many of the delivered rows of a page may disappear or move
// before a cursor into it is lost.
const maxMarks = 32

// cursors seals the positions of one operation for one connection's incarnation. The
// operation's name holds the table's, so that no table goes on from a cursor of another.
type cursors struct {
	sealer     Sealer
	operation  messages.Operation
	connection string
	incarnate  string
	tables     []messages.Table // whose cursors are told by name
}

func (o *Operations) cursorsOf(c route.Call, session *dynamics.Session) cursors {
	return cursors{sealer: o.Sealer, operation: c.Operation, connection: c.Connection,
		incarnate: session.Incarnation(), tables: o.Tables}
}

// withCursors are the operations that give out sealed cursors.
func withCursors(tables []messages.Table) (operations []messages.Operation) {
	for _, table := range tables {
		for _, verb := range []messages.Verb{messages.VerbSearch, messages.VerbFields, messages.VerbChanges} {
			operations = append(operations, table.Operation(verb))
		}
	}
	return operations
}

func (c cursors) associated() []byte {
	return []byte("crmbridge cursor " + string(c.operation) + "\x00" + c.connection + "\x00" + c.incarnate)
}

// seal makes the opaque text of a position.
func (c cursors) seal(at any) (string, error) {
	plain, err := json.Marshal(at)
	if err != nil {
		return "", fmt.Errorf("encode the cursor: %w", err)
	}
	small, err := deflated(plain)
	if err != nil {
		return "", fmt.Errorf("compress the cursor: %w", err)
	}
	sealed, err := c.sealer.Seal(small, c.associated())
	if err != nil {
		return "", fmt.Errorf("seal the cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// deflaters keeps writers: a new one takes 1.2 MB. Reset makes one like new: it looks back at
// nothing that was written before.
var deflaters = sync.Pool{New: func() any {
	squeeze, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil { // of a level that does not exist
		panic(err)
	}
	return squeeze
}}

// deflated compresses what holds the same words many times.
func deflated(plain []byte) ([]byte, error) {
	var small bytes.Buffer
	squeeze := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(squeeze)
	squeeze.Reset(&small)
	_, err := squeeze.Write(plain)
	if err == nil {
		err = squeeze.Close()
	}
	return small.Bytes(), err
}

// inflated reads what deflated made, up to most bytes.
func inflated(small []byte, most int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(small)), most))
}

// open reads a cursor back into a position. Whatever is wrong with it, the
// requester learns no more than what to do.
func (c cursors) open(text string, into any) error {
	if len(text) > messages.MaxCursor {
		return badCursor()
	}
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return badCursor()
	}
	small, err := c.sealer.Open(sealed, c.associated())
	if errors.Is(err, tokens.ErrKeyMissing) {
		return badCursor() // of no operation: it must not be looked for once for each
	}
	if err != nil {
		return c.another(sealed)
	}
	plain, err := inflated(small, maxCursorPlain)
	if err != nil {
		return badCursor()
	}
	if err := json.Unmarshal(plain, into, json.RejectUnknownMembers(true)); err != nil {
		return badCursor()
	}
	return nil
}

// another says which other operation of the connection a cursor belongs to, the
// one mix-up that a requester can see no reason for.
func (c cursors) another(sealed []byte) error {
	for _, operation := range withCursors(c.tables) {
		other := c
		other.operation = operation
		if _, err := c.sealer.Open(sealed, other.associated()); operation != c.operation && err == nil {
			return messages.Invalid("cursor", "is a cursor of %s, and %s goes on from its own only", operation,
				c.operation)
		}
	}
	return badCursor()
}

// badCursor keeps no cause: what JSON says about a text that it cannot read may
// quote a filter value, and causes are logged.
func badCursor() error {
	return messages.Invalid("cursor", "is not a cursor of this connection; send a next_cursor unchanged, or "+
		"start again without one")
}
