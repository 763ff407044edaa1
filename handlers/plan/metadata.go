package plan

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// A Cache keeps the metadata of environments for all processes, so that one of them reads
// it for all. An entry is gone with the connection's incarnation, and 15 minutes after it
// was put at the latest. Its errors never fail a request.
type Cache interface {
	// Get returns what was put as a kind, nil where there is nothing.
	Get(ctx context.Context, connection, incarnation, kind string) ([]byte, error)
	Put(ctx context.Context, connection, incarnation, kind string, value []byte) error
	// Claim makes the caller the one who reads a table's metadata, until it calls done;
	// done is nil while another process reads.
	Claim(ctx context.Context, connection, table string) (done func(), err error)
}

// How old metadata may be. What it has may be older than what it has not: columns and
// options are added.
const (
	// MaxAge is how old a column or option may be.
	MaxAge        = 15 * time.Minute
	missingMaxAge = 30 * time.Second
	localTTL      = 30 * time.Second // of a process's copy, before it is compared with the fleet's
	fallbackTTL   = 10 * time.Second // of the built-in options, where an environment serves no metadata
	unknownTTL    = time.Minute      // until it is asked again which columns are hidden

	cacheWait     = 500 * time.Millisecond // for one look at the fleet's cache
	othersReading = 5 * time.Second        // for another process that reads
)

// lock waits for its turn of something that another request may have.
func (c *Columns) lock(ctx context.Context, of chan struct{}) error {
	defer budget.From(ctx).Pause()()
	select {
	case of <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kind returns one kind of metadata, no older than maxAge: this process's copy, the
// fleet's, or what Dataverse answers, which is read by one request at a time.
func (c *Columns) kind(ctx context.Context, kind string, maxAge time.Duration) (*metadataSet, error) {
	if before := c.before(kind); before != nil && (before.err != nil || c.entry.accepts(before.d, maxAge)) {
		return before.d, before.err
	}
	d, fresh := c.entry.get(kind, maxAge)
	c.catalog.looked(fresh)
	if fresh {
		return c.remember(kind, d, nil)
	}
	c.own = 0
	d, err := c.load(ctx, kind, maxAge)
	if err == nil {
		err = route.Reserve(ctx, int(c.own))
	}
	if dynamics.KindOf(err) == dynamics.TooLarge {
		return c.remember(kind, nil, err)
	}
	if err != nil {
		return nil, err
	}
	// The connection may be gone, or made for fewer tables, while another request, or process, asked.
	if err := c.session.Confirm(ctx, c.entity.Rows); err != nil {
		return nil, err
	}
	return c.remember(kind, d, nil)
}

// before is what this request has read of a kind, nil where it has not.
func (c *Columns) before(kind string) *result {
	for i := range c.seen {
		if c.seen[i].kind == kind {
			return &c.seen[i]
		}
	}
	return nil
}

// remember keeps the result for the rest of the request.
func (c *Columns) remember(kind string, d *metadataSet, err error) (*metadataSet, error) {
	into := c.before(kind)
	if into == nil {
		into = c.before("")
	}
	*into = result{kind, d, err}
	return d, err
}

// load is kind where this process has no fresh copy.
func (c *Columns) load(ctx context.Context, kind string, maxAge time.Duration) (*metadataSet, error) {
	c.reading = nil
	done, ok := c.session.Await()
	if !ok {
		return c.fetch(ctx, kind)
	}
	err := c.lock(ctx, c.entry.reading)
	done()
	if err != nil {
		return nil, err
	}
	defer func() { <-c.entry.reading }()
	if d, fresh := c.entry.get(kind, maxAge); fresh {
		return d, nil
	}
	c.reading = budget.From(ctx).Part()
	ctx = dynamics.WithoutBackground(budget.With(ctx, c.reading)) // others wait for what a job reads here
	found, done, err := c.fromFleet(ctx, kind, maxAge)
	if done != nil {
		defer done()
	}
	if err != nil {
		c.catalog.log.Debug("metadata is not shared with other processes now", "connection", c.session.Connection(),
			"error", err)
		found, _ = c.entry.get(kind, maxAge)
	}
	if found != nil {
		return c.keep(kind, *found, localTTL), nil
	}
	return c.fetch(ctx, kind)
}

// fromFleet looks for what another process read, and waits for one that reads. Where
// it finds nothing the caller reads, and calls done, if it is not nil, after that.
func (c *Columns) fromFleet(ctx context.Context, kind string, maxAge time.Duration) (found *metadataSet, done func(),
	err error) {
	if c.catalog.shared == nil {
		return nil, nil, nil
	}
	for until := time.Now().Add(othersReading); ; {
		if found, err = c.read(ctx, kind, maxAge); found != nil || err != nil || done != nil {
			return found, done, err
		}
		if done, err = c.claim(ctx); err != nil {
			return nil, nil, err
		}
		if done != nil {
			continue // another one may have put it between the look and the claim
		}
		if time.Now().After(until) {
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

func (c *Columns) claim(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, cacheWait)
	defer cancel()
	return c.catalog.shared.Claim(ctx, c.session.Connection(), c.entity.Name)
}

// read returns the fleet's copy, nil where there is none that is young enough.
func (c *Columns) read(ctx context.Context, kind string, maxAge time.Duration) (*metadataSet, error) {
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
	if err := route.Reserve(ctx, parsedFactor*len(text)); err != nil {
		return nil, err
	}
	var d metadataSet
	if json.Unmarshal(text, &d) != nil || !c.entry.accepts(&d, maxAge) {
		return nil, nil
	}
	return &d, nil
}

// parsedFactor is how many times the length of its JSON metadata takes in memory, the
// JSON with it.
const parsedFactor = 4

// sharedKind is under what the fleet's cache has a kind: names of tables and kinds hold
// no slash.
func (c *Columns) sharedKind(kind string) string {
	return metadataForm + "/" + c.entity.Name + "/" + kind + "/" + c.session.UserID()
}

// fetch reads from Dataverse, and gives the answer to the fleet. The fallback for
// metadata that is not served stays in this process, for a short time.
func (c *Columns) fetch(ctx context.Context, kind string) (*metadataSet, error) {
	d := metadataSet{At: time.Now()}
	var err error
	if kind == kindColumns {
		d.Columns, err = c.fetchColumns(ctx)
	} else {
		var sets map[string]dynamics.OptionSet
		sets, err = c.session.Options(ctx, c.entity.Rows, dynamics.ColumnKind(kind))
		d.setOptions(sets)
	}
	switch {
	case err != nil && withoutMetadata(err):
		if kind != kindColumns {
			d.setOptions(c.entity.standard)
		}
		return c.keep(kind, d, fallbackTTL), nil
	case err != nil:
		return nil, err
	}
	if c.catalog.shared != nil {
		c.put(ctx, kind, d)
	}
	return c.keep(kind, d, localTTL), nil
}

func (c *Columns) fetchColumns(ctx context.Context) (map[string]dynamics.TableColumn, error) {
	list, err := c.session.Columns(ctx, c.entity.Rows)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]dynamics.TableColumn, len(list))
	for _, column := range list {
		if column.Valid {
			byName[column.Logical] = column
		}
	}
	return byName, nil
}

// put goes on after the request has ended: the answer is there, and others wait.
func (c *Columns) put(ctx context.Context, kind string, d metadataSet) {
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
		c.catalog.log.Debug("metadata is not shared with other processes now", "connection", c.session.Connection(),
			"error", err)
	}
}
