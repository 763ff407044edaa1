package handlers

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// A MetadataCache keeps for all processes what environments say about their
// columns, so that one of them asks for all. What it holds is gone with the
// connection's incarnation, and 15 minutes after it was put at the latest. None of
// its errors is one of the request.
type MetadataCache interface {
	// Get returns what was put as a kind, nil where there is nothing.
	Get(ctx context.Context, connection, incarnation, kind string) ([]byte, error)
	Put(ctx context.Context, connection, incarnation, kind string, value []byte) error
	// Claim makes the caller the one who asks, until it calls done; done is nil
	// while another process asks.
	Claim(ctx context.Context, connection string) (done func(), err error)
}

// How old metadata may be: for what it has, and before it is believed that it has
// not what was asked for, since columns and options are added.
const (
	metadataLife = 15 * time.Minute
	missingLife  = 30 * time.Second
	localLife    = 30 * time.Second // of a process's copy, before it looks at the fleet's again
	standInLife  = 10 * time.Second // of what stands in for metadata that is not served

	cacheWait     = 500 * time.Millisecond // for one look at the fleet's cache
	othersReading = 5 * time.Second        // how long the reading of another process is waited for
)

// metadataForm is the form in which metadata is shared; raise it with a change of
// described or of what it consists of, so that processes of two versions do not
// read each other's.
const metadataForm = "1"

// described is one kind of metadata: the columns, or the options of one attribute
// type. It does not change once it is shared.
type described struct {
	At      time.Time                       `json:"at"` // when Dataverse was asked
	Columns map[string]dynamics.TableColumn `json:"columns,omitempty"`
	Options map[string][]dynamics.Option    `json:"options,omitempty"`
	Counts  map[string]int                  `json:"counts,omitempty"` // of options, where they are cut

	until time.Time // good in this process without another look
}

const kindColumns = "columns"

// describe takes options in the form in which they are shared.
func (d *described) describe(sets map[string]dynamics.OptionSet) {
	d.Options, d.Counts = make(map[string][]dynamics.Option, len(sets)), map[string]int{}
	for name, set := range sets {
		if d.Options[name] = set.Options; set.Count > len(set.Options) {
			d.Counts[name] = set.Count
		}
	}
}

// set is the options of one column.
func (d *described) set(name string) dynamics.OptionSet {
	options := d.Options[name]
	return dynamics.OptionSet{Options: options, Count: max(len(options), d.Counts[name])}
}

// catalog remembers what environments say about their columns, per connection,
// incarnation and user: labels are in the language of the user whom the connection
// acts as, so that two connections of one environment must not share them, nor two
// users of one connection.
type catalog struct {
	shared MetadataCache // nil: this process asks for itself
	log    *slog.Logger

	most   int64 // bounds what is kept, in bytes
	parses chan struct{}

	mu    sync.Mutex
	known map[catalogKey]*metadata
}

type catalogKey struct{ connection, incarnation, user string }

// maxCatalog is how many connections one process remembers, and maxCatalogBytes in
// how much memory where nothing else is said.
const (
	maxCatalog      = 256
	maxCatalogBytes = 64 << 20
)

// maxParses is how many of the fleet's copies are read at once: how large they are is
// known only when they are there.
const maxParses = 2

// metadata is what one environment said.
type metadata struct {
	reading chan struct{} // held by the request that asks, so that the others of its connection wait for its answer

	mu      sync.Mutex // guards the rest, briefly
	kinds   map[string]*described
	since   time.Time // what was read before is doubted
	doubted time.Time // when that began
	used    time.Time // guarded by the catalog
	size    int64     // of all kinds, guarded by the catalog
}

// share says what the processes have in common; before the first request.
func (c *catalog) share(cache MetadataCache, log *slog.Logger) {
	c.shared, c.log, c.parses = cache, log, make(chan struct{}, maxParses)
}

// of gives the columns of a session's environment.
func (c *catalog) of(session *dynamics.Session) *columns {
	return &columns{session: session, catalog: c, known: c.metadata(session)}
}

func (c *catalog) metadata(session *dynamics.Session) *metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := catalogKey{session.Connection(), session.Incarnation(), session.UserID()}
	known, ok := c.known[key]
	if !ok {
		if c.known == nil {
			c.known = map[catalogKey]*metadata{}
		}
		c.makeRoom()
		known = &metadata{reading: make(chan struct{}, 1), kinds: map[string]*described{}}
		c.known[key] = known
	}
	known.used = time.Now()
	return known
}

// makeRoom forgets the connection that was asked about longest ago.
func (c *catalog) makeRoom() {
	if len(c.known) >= maxCatalog {
		c.forgetOldest(nil)
	}
}

// forgetOldest forgets the connection that was asked about longest ago, but for one.
func (c *catalog) forgetOldest(but *metadata) (size int64) {
	var oldest catalogKey
	var when time.Time
	for key, known := range c.known {
		if known != but && (when.IsZero() || known.used.Before(when)) {
			oldest, when = key, known.used
		}
	}
	if known := c.known[oldest]; known != nil {
		size = known.size
	}
	delete(c.known, oldest)
	return size
}

// forget doubts the copy that a session's query was planned with, because Dataverse
// disagreed with it: only a newer one is believed, the fleet's, or Dataverse's own,
// which then takes the old one's place for all. An environment that keeps
// disagreeing with itself is not asked each time.
func (c *catalog) forget(session *dynamics.Session) {
	known := c.metadata(session)
	known.mu.Lock()
	defer known.mu.Unlock()
	used := known.kinds[kindColumns]
	if used == nil || time.Since(known.doubted) < missingLife {
		return
	}
	known.doubted = time.Now()
	known.since = used.At.Add(1)
}

// local returns this process's copy if it is of at most oldest ago and need not be
// compared with the fleet's.
func (m *metadata) local(kind string, oldest time.Duration) *described {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.kinds[kind]; d != nil && m.good(d, oldest) && time.Now().Before(d.until) {
		return d
	}
	return nil
}

// stale is local without the comparison, for when it cannot be made.
func (m *metadata) stale(kind string, oldest time.Duration) *described {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.kinds[kind]; d != nil && m.good(d, oldest) {
		return d
	}
	return nil
}

func (m *metadata) young(d *described, oldest time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good(d, oldest)
}

func (m *metadata) good(d *described, oldest time.Duration) bool {
	return time.Since(d.At) < oldest && !d.At.Before(m.since)
}

// keep remembers one kind, unless it alone would take more than a quarter of what
// all connections may: then it is good for the request that asked, and counts there.
func (c *columns) keep(kind string, d described, life time.Duration) *described {
	d.until = time.Now().Add(life)
	size := d.size()
	defer c.reading.Close() // it counts as what is kept from here on
	if size > c.catalog.most/4 {
		c.own += size
		return &d
	}
	c.known.mu.Lock()
	old := c.known.kinds[kind]
	c.known.kinds[kind] = &d
	c.known.mu.Unlock()
	if old != nil {
		size -= old.size()
	}
	c.catalog.account(c.known, size)
	return &d
}

// account counts more bytes of a connection's metadata, and forgets that of others
// while all is too much.
func (c *catalog) account(known *metadata, more int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known.size += more
	total := int64(0)
	for _, one := range c.known {
		total += one.size
	}
	for total > c.most && len(c.known) > 1 {
		before := len(c.known)
		total -= c.forgetOldest(known)
		if len(c.known) == before {
			return
		}
	}
}

// size is about what metadata takes in memory, in bytes.
func (d *described) size() int64 {
	const column, option, list = 192, 40, 96
	size := int64(0)
	for name, c := range d.Columns {
		size += column + int64(len(name)+len(c.Label))
	}
	for name, options := range d.Options {
		size += list + int64(len(name)) + option*int64(len(options))
		for _, o := range options {
			size += int64(len(o.Label))
		}
	}
	return size
}

// lock waits for its turn of something that another request may have.
func (c *columns) lock(ctx context.Context, of chan struct{}) error {
	defer budget.From(ctx).Pause()()
	select {
	case of <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kind returns one kind of metadata, as of at most oldest ago: this process's copy,
// the fleet's, or Dataverse's answer, which is asked for once at a time.
func (c *columns) kind(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
	if before := c.told[kind]; before.err != nil || before.d != nil && c.known.young(before.d, oldest) {
		return before.d, before.err
	}
	if d := c.known.local(kind, oldest); d != nil {
		return c.tell(kind, d, nil)
	}
	c.own = 0
	d, err := c.awaited(ctx, kind, oldest)
	if err == nil {
		err = writing(ctx, int(c.own))
	}
	if dynamics.KindOf(err) == dynamics.TooLarge {
		return c.tell(kind, nil, err)
	}
	if err != nil {
		return nil, err
	}
	// The connection may be gone while another request, or process, asked.
	if err := c.session.Confirm(ctx); err != nil {
		return nil, err
	}
	return c.tell(kind, d, nil)
}

// tell remembers what the rest of the request is to be told of a kind.
func (c *columns) tell(kind string, d *described, err error) (*described, error) {
	if c.told == nil {
		c.told = map[string]answeredKind{}
	}
	c.told[kind] = answeredKind{d, err}
	return d, err
}

// awaited is kind where there is no copy that can be used at once.
func (c *columns) awaited(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
	c.reading = nil
	done, ok := c.session.Await()
	if !ok {
		return c.ask(ctx, kind)
	}
	err := c.lock(ctx, c.known.reading)
	done()
	if err != nil {
		return nil, err
	}
	defer func() { <-c.known.reading }()
	if d := c.known.local(kind, oldest); d != nil {
		return d, nil
	}
	c.reading = budget.From(ctx).Part()
	ctx = budget.With(ctx, c.reading)
	found, done, err := c.fleet(ctx, kind, oldest)
	if done != nil {
		defer done()
	}
	if err != nil {
		c.catalog.log.Debug("metadata is not shared with other processes now", "connection", c.session.Connection(), "error", err)
		found = c.known.stale(kind, oldest)
	}
	if found != nil {
		return c.keep(kind, *found, localLife), nil
	}
	return c.ask(ctx, kind)
}

// fleet looks for what another process read, and waits for one that reads. Where
// it finds nothing the caller is to ask, and to call done, if there is one, then.
func (c *columns) fleet(ctx context.Context, kind string, oldest time.Duration) (found *described, done func(), err error) {
	if c.catalog.shared == nil {
		return nil, nil, nil
	}
	for patience := time.Now().Add(othersReading); ; {
		if found, err = c.shared(ctx, kind, oldest); found != nil || err != nil || done != nil {
			return found, done, err
		}
		if done, err = c.claim(ctx); err != nil {
			return nil, nil, err
		}
		if done != nil {
			continue // another one may have put it between the look and the claim
		}
		if time.Now().After(patience) {
			return nil, nil, nil // reading twice harms nobody
		}
		proceed := budget.From(ctx).Pause()
		select {
		case <-ctx.Done():
			proceed()
			return nil, nil, ctx.Err()
		case <-time.After(25*time.Millisecond + rand.N(50*time.Millisecond)):
			proceed()
		}
	}
}

func (c *columns) claim(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, cacheWait)
	defer cancel()
	return c.catalog.shared.Claim(ctx, c.session.Connection())
}

// shared returns the fleet's copy, nil where there is none that is young enough.
func (c *columns) shared(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
	ctx, cancel := context.WithTimeout(ctx, cacheWait)
	defer cancel()
	if err := c.lock(ctx, c.catalog.parses); err != nil {
		return nil, err
	}
	defer func() { <-c.catalog.parses }()
	text, err := c.catalog.shared.Get(ctx, c.session.Connection(), c.session.Incarnation(), c.sharedKind(kind))
	if err != nil || text == nil {
		return nil, err
	}
	if err := writing(ctx, parsedFactor*len(text)); err != nil {
		return nil, err
	}
	var d described
	if json.Unmarshal(text, &d) != nil || !c.known.young(&d, oldest) {
		return nil, nil
	}
	return &d, nil
}

// parsedFactor is how many times the length of its JSON metadata takes in memory, the
// JSON with it.
const parsedFactor = 4

func (c *columns) sharedKind(kind string) string {
	return metadataForm + "/" + kind + "/" + c.session.UserID()
}

// ask asks Dataverse, and gives the answer to the fleet. What stands in for
// metadata that is not served stays in this process, for a short time.
func (c *columns) ask(ctx context.Context, kind string) (*described, error) {
	d := described{At: time.Now()}
	var err error
	if kind == kindColumns {
		d.Columns, err = c.askColumns(ctx)
	} else {
		var sets map[string]dynamics.OptionSet
		sets, err = c.session.Options(ctx, dynamics.ColumnKind(kind))
		d.describe(sets)
	}
	switch {
	case err != nil && withoutMetadata(err):
		if kind != kindColumns {
			d.describe(standardOptions())
		}
		return c.keep(kind, d, standInLife), nil
	case err != nil:
		return nil, err
	}
	if c.catalog.shared != nil {
		c.put(ctx, kind, d)
	}
	return c.keep(kind, d, localLife), nil
}

func (c *columns) askColumns(ctx context.Context) (map[string]dynamics.TableColumn, error) {
	list, err := c.session.Columns(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]dynamics.TableColumn, len(list))
	for _, column := range list {
		if column.Readable {
			byName[column.Logical] = column
		}
	}
	return byName, nil
}

// put goes on when the requester has gone: the answer is there, and others wait.
func (c *columns) put(ctx context.Context, kind string, d described) {
	l := budget.From(ctx).Lease()
	defer l.Close()
	if l.Grow(ctx, 3*d.size()) != nil { // its JSON, and that compressed and sealed
		return
	}
	text, err := json.Marshal(&d)
	if err == nil {
		putting, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheWait)
		defer cancel()
		err = c.catalog.shared.Put(putting, c.session.Connection(), c.session.Incarnation(), c.sharedKind(kind), text)
	}
	if err != nil {
		c.catalog.log.Debug("metadata is not shared with other processes now", "connection", c.session.Connection(), "error", err)
	}
}
