package plan

import (
	"cmp"
	"container/list"
	"log/slog"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A Catalog keeps the metadata of environments: the columns and options of their tables, per
// connection, incarnation, user and table. Labels are in the language of the user whom the
// connection acts as, and that user may not read every column, so that two connections of
// one environment must not share them, nor two users of one connection.
type Catalog struct {
	shared Cache // nil: this process asks for itself
	log    *slog.Logger
	// Cached is told whenever metadata is needed whether this process had it; nil means nobody.
	// It must not block.
	Cached func(hit bool)

	most   int64 // bounds what is kept, in bytes
	parses chan struct{}

	mu      sync.Mutex
	entries map[catalogKey]*entry
	order   list.List // of *entry, the one that was used last in front
	total   int64     // bytes of all
}

type catalogKey struct{ connection, incarnation, user, table string }

// Bounds of a catalog. The second one is a default.
const (
	maxEntries      = 1024
	maxCatalogBytes = 64 << 20
)

// maxParses is how many copies of the fleet's cache are parsed at once: how much memory
// one takes is known only then.
const maxParses = 2

// An entry is the metadata of one table to one connection and user.
type entry struct {
	reading chan struct{} // held by the request that reads, while others of its connection and table wait

	mu          sync.Mutex // guards the rest, briefly
	kinds       map[string]*metadataSet
	notBefore   time.Time // what was read before has proved wrong
	invalidated time.Time // when notBefore was set
	unknown     time.Time // until then nobody asks again which columns are hidden

	// Guarded by the catalog.
	key  catalogKey
	at   *list.Element // in its order, nil where it was dropped
	size int64         // of all kinds
}

// NewCatalog makes a catalog that keeps at most so many bytes in memory; 0 means 64 MiB.
// cache is what the processes have in common, nil where each asks for itself.
func NewCatalog(cache Cache, most int64, log *slog.Logger) *Catalog {
	return &Catalog{shared: cache, log: log, most: cmp.Or(most, maxCatalogBytes),
		parses:  make(chan struct{}, maxParses),
		entries: map[catalogKey]*entry{}}
}

// looked tells of a look for metadata.
func (c *Catalog) looked(hit bool) {
	if c.Cached != nil {
		c.Cached(hit)
	}
}

// Of gives the columns that a table has in a session's environment.
func (c *Catalog) Of(session *dynamics.Session, of *Entity) *Columns {
	columns := c.of(session, of)
	return &columns
}

func (c *Catalog) of(session *dynamics.Session, of *Entity) Columns {
	return Columns{session: session, entity: of, catalog: c, entry: c.entry(session, of)}
}

func (c *Catalog) entry(session *dynamics.Session, of *Entity) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := catalogKey{session.Connection(), session.Incarnation(), session.UserID(), of.Name}
	known, ok := c.entries[key]
	if !ok {
		if len(c.entries) >= maxEntries {
			c.evictOldest(nil)
		}
		known = &entry{key: key, reading: make(chan struct{}, 1), kinds: map[string]*metadataSet{}}
		known.at = c.order.PushFront(known)
		c.entries[key] = known
	}
	c.order.MoveToFront(known.at)
	return known
}

// evictOldest drops the entry that was used longest ago, but for one; false where there is
// no other.
func (c *Catalog) evictOldest(but *entry) bool {
	last := c.order.Back()
	if last != nil && last.Value.(*entry) == but {
		last = last.Prev()
	}
	if last == nil {
		return false
	}
	known := c.order.Remove(last).(*entry)
	known.at = nil
	c.total -= known.size
	delete(c.entries, known.key)
	return true
}

// invalidate rejects copies that are not newer than the one that a session's query was
// planned with, because Dataverse disagreed with it. The next request takes a newer one
// of the fleet's, or reads Dataverse's own, which replaces the old one for all. It does
// nothing where that was tried lately: an environment that keeps disagreeing with itself
// is not read each time.
func (c *Catalog) invalidate(session *dynamics.Session, of *Entity) {
	known := c.entry(session, of)
	known.mu.Lock()
	defer known.mu.Unlock()
	used := known.kinds[kindColumns]
	if used == nil || time.Since(known.invalidated) < missingMaxAge {
		return
	}
	known.invalidated = time.Now()
	known.notBefore = used.At.Add(1)
}

// get returns this process's copy where it is no older than maxAge, else nil. fresh says
// that it need not be compared with the fleet's.
func (e *entry) get(kind string, maxAge time.Duration) (set *metadataSet, fresh bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if set = e.kinds[kind]; set == nil || !e.valid(set, maxAge) {
		return nil, false
	}
	return set, time.Now().Before(set.freshUntil)
}

// columns returns this process's columns, however long ago they were compared with the
// fleet's; unknowable says that it was asked lately which of them are hidden, in vain.
func (e *entry) columns() (set *metadataSet, unknowable bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if set = e.kinds[kindColumns]; set != nil && e.valid(set, MaxAge) {
		return set, false
	}
	return nil, time.Now().Before(e.unknown)
}

// count adds to the size of a kind, and reports whether it is kept for others.
func (e *entry) count(kind string, d *metadataSet, more int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kinds[kind] != d {
		return false
	}
	d.more += more
	return true
}

// accepts reports whether a copy is no older than maxAge and has not proved wrong.
func (e *entry) accepts(set *metadataSet, maxAge time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.valid(set, maxAge)
}

func (e *entry) valid(set *metadataSet, maxAge time.Duration) bool {
	return time.Since(set.At) < maxAge && !set.At.Before(e.notBefore)
}

func (e *entry) setUnknowable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unknown = time.Now().Add(unknownTTL)
}

// keep puts one kind into the catalog, unless it alone would take more than a quarter of
// the catalog's memory: then only this request has it, in its own memory.
func (c *Columns) keep(kind string, d metadataSet, ttl time.Duration) *metadataSet {
	d.freshUntil, d.labels, d.hides = time.Now().Add(ttl), new(labelMaps), d.hidesSome()
	size := d.size()
	defer c.reading.Close() // it counts as what is kept from here on
	if size > c.catalog.most/4 {
		c.own += size
		return &d
	}
	c.entry.mu.Lock()
	if old := c.entry.kinds[kind]; old != nil {
		size -= old.size() + old.more
	}
	c.entry.kinds[kind] = &d
	c.entry.mu.Unlock()
	c.catalog.account(c.entry, size)
	return &d
}

// account counts more bytes of an entry, and drops others while all take too much.
func (c *Catalog) account(known *entry, more int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known.size += more
	if known.at == nil {
		return // it was dropped: who has it still, uses it, and nobody else does
	}
	c.total += more
	for c.total > c.most && c.evictOldest(known) {
	}
}
