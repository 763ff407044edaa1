package budget

import "context"

// An Account is what one request holds. A nil Account bounds nothing: its methods
// do nothing. It is safe for concurrent use.
type Account struct {
	in     *Budget
	age    uint64
	place  place[Account] // among the open ones
	own    Lease
	opened int64                // what it came with
	leases chain[Lease, *Lease] // without its own
	parts  []*Account
	whole  *Account // whose part it is, itself where it is none's
	closed bool

	// Of it and its parts together, which are one request:
	held  int64 // all leases, shared ones by everybody who has them
	idle  int   // calls that wait for room, or for others
	taken bool  // it has had to make way
}

// newAccount makes an account that is not open yet; whole is nil where it is no part.
func (b *Budget) newAccount(age uint64, whole *Account) *Account {
	a := &Account{}
	a.begin(b, age, whole)
	return a
}

func (a *Account) begin(b *Budget, age uint64, whole *Account) {
	a.in, a.age, a.whole = b, age, whole
	if whole == nil {
		a.whole = a
	}
	a.own.account = a
}

type contextKey struct{}

// With returns a context that carries an account to what works for its request.
func With(ctx context.Context, a *Account) context.Context {
	return context.WithValue(ctx, contextKey{}, a)
}

// ContextKey is the key under which a context of a kind of its own returns its *Account, as
// [With] does.
func ContextKey() any { return contextKey{} }

// From returns the context's account, nil where there is none.
func From(ctx context.Context) *Account {
	a, _ := ctx.Value(contextKey{}).(*Account)
	return a
}

// Grow takes n more bytes until the account is closed; see [Lease.Grow].
func (a *Account) Grow(ctx context.Context, n int64) error {
	if a == nil {
		return nil
	}
	return a.own.Grow(ctx, n)
}

// Shrink gives back n bytes that Open or Grow took.
func (a *Account) Shrink(n int64) {
	if a != nil {
		a.own.Shrink(n)
	}
}

// Ample reports whether n more bytes leave half of the room free, and nobody waits for any:
// it is for work that may be left undone.
func (a *Account) Ample(n int64) bool {
	if a == nil {
		return true
	}
	b := a.in
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.growing) == 0 && len(b.starting) == 0 && b.used-b.borrowed+n <= b.ordinary()/2
}

// Pause says that the account waits for somebody else, who may wait for room, until
// done is called: nobody waits for what it holds meanwhile.
func (a *Account) Pause() (done func()) {
	if a == nil {
		return func() {}
	}
	a.Idle()
	return a.Resume
}

// Idle begins a [Account.Pause], and Resume ends it, for whoever does so for each call.
func (a *Account) Idle() {
	if a != nil {
		a.idles(1)
	}
}

// Resume ends what Idle began.
func (a *Account) Resume() {
	if a != nil {
		a.idles(-1)
	}
}

func (a *Account) idles(n int) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.whole.idle += n
	a.in.settle()
}

// Part opens an account for a part of what a is for, which is closed with a at the
// latest. While one of the two waits, nobody waits for what the other holds.
func (a *Account) Part() *Account {
	if a == nil {
		return nil
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	part := a.in.newAccount(a.age, a.whole)
	part.closed = a.closed
	if !a.closed {
		a.in.open.insert(part, a)
		a.parts = append(a.parts, part)
	}
	return part
}

// keeps is what an account and its parts give back with their end only. It is called
// with the budget's lock.
func (a *Account) keeps() int64 {
	n := a.own.n
	for _, part := range a.parts {
		n += part.keeps()
	}
	return n
}

// Lease begins something that may be given up before the account is closed.
func (a *Account) Lease() *Lease {
	if a == nil {
		return nil
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	l := &Lease{account: a}
	a.leases.push(l)
	return l
}

// Begin is Lease in the caller's own memory, of which an earlier lease must be closed. The
// account hears of it with its first bytes, and one goroutine at a time uses it.
func (a *Account) Begin(l *Lease) *Lease {
	*l = Lease{account: a, unheard: true}
	return l
}

// Close gives everything back. Leases that are shared stay taken until the others
// have given them back too.
func (a *Account) Close() {
	if a == nil {
		return
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.close()
	a.in.settle()
}

func (a *Account) close() {
	if a.closed {
		return
	}
	a.closed = true
	a.in.opened -= a.opened
	for _, part := range a.parts {
		part.close()
	}
	for l := a.leases.first; l != nil; l = l.place.next {
		l.drop()
	}
	a.own.drop()
	if a.in.holder == a {
		a.in.holder, a.in.borrowed = nil, 0
	}
	a.in.open.remove(a)
}

// A Lease is a part of what an account holds, for one thing. A nil Lease, and the zero
// value, bound nothing.
type Lease struct {
	account *Account
	place   place[Lease] // among the account's
	n       int64
	shared  *int // how many leases hold the same bytes, nil for one
	over    bool
	unheard bool // by its account; see [Account.Begin]
}

func (l *Lease) none() bool { return l == nil || l.account == nil }

// Grow takes n more bytes, as soon as there is room for them, the oldest account
// first. The error is an [*Error] where there was none shortly before ctx's
// deadline, or ctx's own. Take it before the memory.
func (l *Lease) Grow(ctx context.Context, n int64) error {
	if l.none() || n <= 0 {
		return nil
	}
	b := l.account.in
	b.mu.Lock()
	if b.unwaited() && b.ordinarily(n) {
		l.take(n)
		b.mu.Unlock()
		return nil
	}
	return b.wait(ctx, &b.growing, l, n)
}

// Start is Grow for the first bytes of a piece of work: it waits until there is
// room for more than them, since what has been begun goes first.
func (l *Lease) Start(ctx context.Context, n int64) error {
	if l.none() || n <= 0 {
		return nil
	}
	b := l.account.in
	b.mu.Lock()
	if b.unwaited() && b.mayStart(l, n) {
		l.take(n)
		b.mu.Unlock()
		return nil
	}
	return b.wait(ctx, &b.starting, l, n)
}

// Shrink gives back n bytes.
func (l *Lease) Shrink(n int64) {
	if l.none() || n <= 0 {
		return
	}
	b := l.account.in
	b.mu.Lock()
	defer b.mu.Unlock()
	l.give(min(n, l.n))
	b.settle()
}

// Close gives the lease back. It may be called again.
func (l *Lease) Close() {
	if l.none() {
		return
	}
	if l.unheard {
		l.over = true
		return
	}
	b := l.account.in
	b.mu.Lock()
	defer b.mu.Unlock()
	l.account.leases.remove(l)
	l.drop()
	b.settle()
}

// Share makes n further leases of the same bytes, each to be given by Join to the
// account that has it, or closed. The bytes are counted once, and given back with
// the last of them. A lease is shared once, and does not grow afterwards.
func (l *Lease) Share(n int) []*Lease {
	others := make([]*Lease, n)
	if l.none() {
		return others
	}
	l.account.in.mu.Lock()
	defer l.account.in.mu.Unlock()
	if l.over || n == 0 {
		return others
	}
	all := n + 1
	l.shared = &all
	for i := range others {
		// Nobody's account until Join: it counts as the budget's alone.
		others[i] = &Lease{account: l.account.in.newAccount(0, nil), n: l.n, shared: &all}
		others[i].account.held = l.n
	}
	return others
}

// Join hands a lease that Share made to the account which uses it.
func (l *Lease) Join(a *Account) {
	if l.none() || a == nil {
		return
	}
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	if l.over {
		return
	}
	if a.closed {
		l.drop()
		a.in.settle()
		return
	}
	l.account = a
	a.whole.held += l.n
	a.leases.push(l)
}

// take, give and drop are called with the budget's lock.

func (l *Lease) take(n int64) {
	if l.over || l.account.closed { // it came too late: nobody would give it back
		return
	}
	if l.unheard {
		l.unheard = false
		l.account.leases.push(l)
	}
	l.n += n
	l.account.whole.held += n
	l.account.in.used += n
}

func (l *Lease) give(n int64) {
	a := l.account
	l.n -= n
	a.whole.held -= n
	if l.shared != nil {
		return // the last one gives it back
	}
	a.in.giveBack(a, n)
}

func (b *Budget) giveBack(a *Account, n int64) {
	b.used -= n
	if b.holder == a.whole {
		b.borrowed = max(0, b.borrowed-n)
	}
}

func (l *Lease) drop() {
	if l.over {
		return
	}
	l.over = true
	a, n := l.account, l.n
	l.give(n)
	if l.shared == nil {
		return
	}
	if *l.shared--; *l.shared == 0 {
		a.in.giveBack(a, n)
	}
}
