package budget

// A chain is a list whose links stand in its members: each request opens an account and
// takes leases, and makes nothing for their places. The zero value is empty. It is used
// with the budget's lock.
type chain[T any, P member[T]] struct {
	first, last *T
	n           int
}

// A place is a member's in the one chain that it may be in.
type place[T any] struct {
	prev, next *T
	taken      bool
}

// A member has a place.
type member[T any] interface {
	*T
	at() *place[T]
}

func (a *Account) at() *place[Account] { return &a.place }
func (l *Lease) at() *place[Lease]     { return &l.place }

// push adds m at the end.
func (c *chain[T, P]) push(m *T) { c.insert(m, c.last) }

// insert adds m behind one that is there, nil for the front.
func (c *chain[T, P]) insert(m, behind *T) {
	p := P(m).at()
	p.prev, p.next, p.taken = behind, c.first, true
	if behind != nil {
		at := P(behind).at()
		p.next, at.next = at.next, m
	} else {
		c.first = m
	}
	if p.next != nil {
		P(p.next).at().prev = m
	} else {
		c.last = m
	}
	c.n++
}

// remove takes m out, where it is in.
func (c *chain[T, P]) remove(m *T) {
	p := P(m).at()
	if !p.taken {
		return
	}
	if p.prev != nil {
		P(p.prev).at().next = p.next
	} else {
		c.first = p.next
	}
	if p.next != nil {
		P(p.next).at().prev = p.prev
	} else {
		c.last = p.prev
	}
	*p = place[T]{}
	c.n--
}
