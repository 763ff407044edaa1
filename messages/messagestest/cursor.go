package messagestest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// cursorLife is how long a cursor of search or fields is good.
const cursorLife = 7 * 24 * time.Hour

// A place is where a search, changes or fields go on: what is in a cursor, and in the checkpoint of
// a job.
type place struct {
	Operation   messages.Operation `json:"o"`
	Connection  string             `json:"c"`
	Incarnation string             `json:"i"`
	Issued      time.Time          `json:"t"`

	// Of search: the query, normalized, and the last row that was delivered.
	Query jsontext.Value   `json:"q,omitzero"`
	Mark  []jsontext.Value `json:"m,omitzero"`
	ID    string           `json:"d,omitzero"`
	Rows  int              `json:"n,omitzero"`
	Total *int64           `json:"s,omitzero"`
	// Of changes: the fields, rows per page, the version of the last change that was delivered, and
	// the one from which on deletions are told.
	Fields  []string `json:"f,omitzero"`
	Size    int      `json:"p,omitzero"`
	Version int64    `json:"v,omitzero"`
	Base    int64    `json:"b,omitzero"`
	// Of fields: the last one.
	After      string `json:"a,omitzero"`
	CustomOnly bool   `json:"u,omitzero"`
}

const macSize = 16

func (b *Bridge) mac(text []byte) []byte {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write(text)
	return mac.Sum(nil)[:macSize]
}

// seal makes a cursor, which cannot be changed.
func (c *call) seal(conn *Connection, p place) string {
	p.Operation, p.Connection, p.Incarnation, p.Issued = c.op, c.connection, conn.incarnation, time.Now()
	text := wire(p)
	return base64.RawURLEncoding.EncodeToString(append(c.b.mac(text), text...))
}

// open reads a cursor.
func (c *call) open(conn *Connection, cursor string) (place, *messages.Error) {
	var p place
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(cursor, "="))
	if err != nil || len(cursor) > messages.MaxCursor || len(sealed) <= macSize ||
		!hmac.Equal(sealed[:macSize], c.b.mac(sealed[macSize:])) ||
		json.Unmarshal(sealed[macSize:], &p) != nil || p.Connection != c.connection ||
		p.Incarnation != conn.incarnation {
		return p, badCursor()
	}
	if p.Operation != c.op {
		return p, messages.Invalid("cursor", "is a cursor of %s, and %s goes on from its own only", p.Operation, c.op)
	}
	return p, nil
}

func badCursor() *messages.Error {
	return messages.Invalid("cursor", "is not a cursor of this connection; send a next_cursor unchanged, or start "+
		"again without one")
}
