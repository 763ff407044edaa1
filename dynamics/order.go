package dynamics

// An order is the names of a row's members as they came in the rows before. Rows of one
// answer have the same names in the same order but for missing labels, which makes a
// comparison cheaper than a map.
type order struct {
	names []orderedName
	text  []byte // of the names, each with its quotation marks and colon
	next  int    // where the next name is looked for
	most  int    // names that are kept
	old   bool   // they are those of another answer

	answer uint64 // how many there have been
}

type orderedName struct {
	begin, end int // in text
	slot       int
	answer     uint64 // the last one in which it was marked
}

// maxOrderText bounds the names that are kept, in bytes.
const maxOrderText = 16 << 10

// reset forgets the names. Those of a layout, in the parts that an answer may have, and
// some that nobody asked for are kept.
func (o *order) reset(l *layout) {
	o.names, o.text, o.next, o.most = o.names[:0], o.text[:0], 0, 4*parts*len(l.properties)+16
}

// begin is called where another answer begins. Its rows may well be as those of the answer
// before; where they are not, what was learnt of them is forgotten.
func (o *order) begin() {
	o.old = true
	o.answer++
}

// expected returns the slot of the member at w[i], and where its value begins, -1 where
// its name is another than expected. A missing label makes a row one or two names shorter:
// it looks a bit ahead.
func (o *order) expected(w []byte, i int) (slot, value int) {
	for k := o.next; k < len(o.names) && k < o.next+3; k++ {
		name := &o.names[k]
		end := i + name.end - name.begin
		if end < len(w) && string(w[i:end]) == string(o.text[name.begin:name.end]) {
			o.next = k + 1
			return name.slot, end
		}
	}
	return 0, -1
}

// again reports whether the name that was expected last has been in this answer before, and
// been marked.
func (o *order) again() bool { return o.names[o.next-1].answer == o.answer }

// mark marks that name.
func (o *order) mark() { o.names[o.next-1].answer = o.answer }

// learn keeps a name as JSON wrote it, bounded whatever comes.
func (o *order) learn(raw []byte, slot int) {
	if o.old {
		o.names, o.text, o.next, o.old = o.names[:0], o.text[:0], 0, false
	}
	if len(o.names) >= o.most || len(o.text)+len(raw) >= maxOrderText {
		return
	}
	begin := len(o.text)
	o.text = append(append(o.text, raw...), ':')
	at := min(o.next, len(o.names))
	o.names = append(o.names, orderedName{})
	copy(o.names[at+1:], o.names[at:])
	o.names[at] = orderedName{begin, len(o.text), slot, 0}
	o.next = at + 1
}
