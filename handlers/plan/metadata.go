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

// A Cache keeps for all processes what environments say about their
// columns, so that one of them asks for all. What it holds is gone with the
// connection's incarnation, and 15 minutes after it was put at the latest. None of
// its errors is one of the request.
type Cache interface {
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
	// Life is how old what metadata has may be.
	Life        = 15 * time.Minute
	missingLife = 30 * time.Second
	localLife   = 30 * time.Second // of a process's copy, before it looks at the fleet's again
	standInLife = 10 * time.Second // of what stands in for metadata that is not served

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

// kind returns one kind of metadata, as of at most oldest ago: this process's copy,
// the fleet's, or Dataverse's answer, which is asked for once at a time.
func (c *Columns) kind(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
	if before := c.told[kind]; before.err != nil || before.d != nil && c.known.young(before.d, oldest) {
		return before.d, before.err
	}
	if d := c.known.local(kind, oldest); d != nil {
		return c.tell(kind, d, nil)
	}
	c.own = 0
	d, err := c.awaited(ctx, kind, oldest)
	if err == nil {
		err = route.Reserve(ctx, int(c.own))
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
func (c *Columns) tell(kind string, d *described, err error) (*described, error) {
	if c.told == nil {
		c.told = map[string]answeredKind{}
	}
	c.told[kind] = answeredKind{d, err}
	return d, err
}

// awaited is kind where there is no copy that can be used at once.
func (c *Columns) awaited(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
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
func (c *Columns) fleet(ctx context.Context, kind string, oldest time.Duration) (found *described, done func(), err error) {
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

func (c *Columns) claim(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, cacheWait)
	defer cancel()
	return c.catalog.shared.Claim(ctx, c.session.Connection())
}

// shared returns the fleet's copy, nil where there is none that is young enough.
func (c *Columns) shared(ctx context.Context, kind string, oldest time.Duration) (*described, error) {
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
	var d described
	if json.Unmarshal(text, &d) != nil || !c.known.young(&d, oldest) {
		return nil, nil
	}
	return &d, nil
}

// parsedFactor is how many times the length of its JSON metadata takes in memory, the
// JSON with it.
const parsedFactor = 4

func (c *Columns) sharedKind(kind string) string {
	return metadataForm + "/" + kind + "/" + c.session.UserID()
}

// ask asks Dataverse, and gives the answer to the fleet. What stands in for
// metadata that is not served stays in this process, for a short time.
func (c *Columns) ask(ctx context.Context, kind string) (*described, error) {
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

func (c *Columns) askColumns(ctx context.Context) (map[string]dynamics.TableColumn, error) {
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
func (c *Columns) put(ctx context.Context, kind string, d described) {
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
