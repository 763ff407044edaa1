package dynamics

// A fifo is a map of a bounded number of entries: the one that was put first makes room
// for one too many. Neither costs more where there are many. The zero value is empty.
type fifo[K comparable, V any] struct {
	known map[K]V
	order []K // a ring of the keys
	first int // in order
	len   int
}

// put adds an entry, of which most are kept. One that is there already keeps its place and
// its value.
func (f *fifo[K, V]) put(key K, value V, most int) {
	if f.known == nil {
		f.known, f.order = map[K]V{}, make([]K, most)
	}
	if _, ok := f.known[key]; ok {
		return
	}
	if f.len == len(f.order) {
		f.drop()
	}
	f.known[key] = value
	f.order[(f.first+f.len)%len(f.order)] = key
	f.len++
}

// oldest is the key that was put first, of those that are there.
func (f *fifo[K, V]) oldest() K { return f.order[f.first] }

// drop removes the oldest.
func (f *fifo[K, V]) drop() {
	var none K
	delete(f.known, f.order[f.first])
	f.order[f.first] = none
	f.first = (f.first + 1) % len(f.order)
	f.len--
}
