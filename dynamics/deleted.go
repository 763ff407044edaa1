package dynamics

import "bytes"

// A deleted row is of another form than the rest of a page of changes:
//
//	{"@odata.context":"…/$metadata#accounts/$deletedEntity","id":"78914942-…","reason":"deleted"}
//
// Its reason is not looked at: there are no other rows that a query without a
// filter could lose.

// The slots of a deleted row's members, after those of the properties.
const (
	deletedContext = iota
	deletedID
	deletedParts
)

// track makes a layout take deleted rows too. It comes after the last add.
func (l *layout) track() {
	l.deleted = len(l.properties) * parts
	l.slots["@odata.context"] = l.deleted + deletedContext
	l.slots["id"] = l.deleted + deletedID
}

// isDeleted reports whether the entry is a $deletedEntity tombstone.
func (r *rowReader) isDeleted() bool {
	context := r.unquoted(deletedContext)
	return bytes.HasSuffix(context, []byte("/$deletedEntity"))
}

// finishDeleted keeps the id of a deleted row: a bare GUID, or as OData allows it
// the address of the row, which ends in the key in parentheses.
func (r *rowReader) finishDeleted(p *Page) error {
	id := r.unquoted(deletedID)
	if begin := bytes.LastIndexByte(id, '('); begin >= 0 && bytes.HasSuffix(id, []byte{')'}) {
		id = id[begin+1 : len(id)-1]
	}
	quoted := append(append([]byte{'"'}, id...), '"')
	var one [idLength]byte
	if !lowerGUID(&one, quoted) {
		return pageFault("a deleted row has no id")
	}
	if err := p.begin(r.body, r.p); err != nil {
		return err
	}
	return p.store.drop(r.body, one)
}

// unquoted returns a text of a deleted row; nil where there is none.
func (r *rowReader) unquoted(part int) []byte {
	raw := r.member(r.l.deleted + part)
	if raw == nil || raw[0] != '"' {
		return nil
	}
	r.unquote(raw)
	return r.text
}
