package plan

import (
	"cmp"
	"log/slog"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A Catalog remembers what environments say about their columns, per connection,
// incarnation and user: labels are in the language of the user whom the connection
// acts as, so that two connections of one environment must not share them, nor two
// users of one connection.
type Catalog struct {
	shared Cache // nil: this process asks for itself
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

// NewCatalog makes a catalog that keeps at most so many bytes in memory; 0 means 64 MiB.
// cache is what the processes have in common, nil where each asks for itself.
func NewCatalog(cache Cache, most int64, log *slog.Logger) *Catalog {
	return &Catalog{shared: cache, log: log, most: cmp.Or(most, maxCatalogBytes), parses: make(chan struct{}, maxParses),
		known: map[catalogKey]*metadata{}}
}

// Of gives the columns of a session's environment.
func (c *Catalog) Of(session *dynamics.Session) *Columns {
	return &Columns{session: session, catalog: c, known: c.metadata(session)}
}

func (c *Catalog) metadata(session *dynamics.Session) *metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := catalogKey{session.Connection(), session.Incarnation(), session.UserID()}
	known, ok := c.known[key]
	if !ok {
		c.makeRoom()
		known = &metadata{reading: make(chan struct{}, 1), kinds: map[string]*described{}}
		c.known[key] = known
	}
	known.used = time.Now()
	return known
}

// makeRoom forgets the connection that was asked about longest ago.
func (c *Catalog) makeRoom() {
	if len(c.known) >= maxCatalog {
		c.forgetOldest(nil)
	}
}

// forgetOldest forgets the connection that was asked about longest ago, but for one.
func (c *Catalog) forgetOldest(but *metadata) (size int64) {
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
func (c *Catalog) forget(session *dynamics.Session) {
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
func (c *Columns) keep(kind string, d described, life time.Duration) *described {
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
func (c *Catalog) account(known *metadata, more int64) {
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
