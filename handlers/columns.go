package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// catalog remembers what environments say about their columns, per connection
// and incarnation: labels are in the language of the connection's user, so that
// two connections of one environment must not share them.
type catalog struct {
	mu    sync.Mutex
	known map[catalogKey]*metadata
}

type catalogKey struct{ connection, incarnation string }

// maxCatalog is how many connections one process remembers.
const maxCatalog = 1000

// metadata is what one environment said. Its lock is held while Dataverse is
// asked, so that concurrent requests of a connection ask once.
type metadata struct {
	mu      chan struct{} // a lock that a caller's context can give up on
	columns remembered[map[string]dynamics.TableColumn]
	options map[dynamics.ColumnKind]remembered[map[string]map[int]string]
	used    time.Time
}

type remembered[T any] struct {
	value     T
	at, until time.Time
}

// columns are the columns of a session's environment.
type columns struct {
	session *dynamics.Session
	known   *metadata
}

func (c *catalog) of(session *dynamics.Session) *columns {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := catalogKey{session.Connection(), session.Incarnation()}
	known, ok := c.known[key]
	if !ok {
		if c.known == nil {
			c.known = map[catalogKey]*metadata{}
		}
		c.makeRoom()
		known = &metadata{mu: make(chan struct{}, 1), options: map[dynamics.ColumnKind]remembered[map[string]map[int]string]{}}
		c.known[key] = known
	}
	known.used = time.Now()
	return &columns{session: session, known: known}
}

// makeRoom forgets the connection that was asked about longest ago.
func (c *catalog) makeRoom() {
	if len(c.known) < maxCatalog {
		return
	}
	var oldest catalogKey
	var when time.Time
	for key, known := range c.known {
		if when.IsZero() || known.used.Before(when) {
			oldest, when = key, known.used
		}
	}
	delete(c.known, oldest)
}

func (m *metadata) lock(ctx context.Context) error {
	select {
	case m.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *metadata) unlock() { <-m.mu }

// forget drops what was remembered about a session's connection.
func (c *catalog) forget(session *dynamics.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, catalogKey{session.Connection(), session.Incarnation()})
}

// How old remembered metadata may be: for what it has, and before it is believed
// that it has not what was asked for, since columns and options are added.
const (
	metadataLife = 15 * time.Minute
	missingLife  = 30 * time.Second
	standInLife  = 10 * time.Second // of what stands in for metadata that is not served
)

// all returns every readable column by logical name, as of at most oldest ago.
func (c *columns) all(ctx context.Context, oldest time.Duration) (map[string]dynamics.TableColumn, error) {
	if err := c.known.lock(ctx); err != nil {
		return nil, err
	}
	defer c.known.unlock()
	kept := &c.known.columns
	if kept.fresh(oldest) {
		return kept.value, nil
	}
	list, err := c.session.Columns(ctx)
	if err != nil && !withoutMetadata(err) {
		return nil, err
	}
	byName := make(map[string]dynamics.TableColumn, len(list))
	for _, column := range list {
		if column.Readable {
			byName[column.Logical] = column
		}
	}
	*kept = remember(byName, err)
	return byName, nil
}

// labels returns the options of a choice column, value to label, as of at most
// oldest ago.
func (c *columns) labels(ctx context.Context, column dynamics.Column, oldest time.Duration) (map[int]string, error) {
	if err := c.known.lock(ctx); err != nil {
		return nil, err
	}
	defer c.known.unlock()
	kind := kindOf(column)
	kept := c.known.options[kind]
	if !kept.fresh(oldest) {
		sets, err := c.session.Options(ctx, kind)
		if err != nil && !withoutMetadata(err) {
			return nil, err
		}
		value := byValue(sets)
		if err != nil {
			value = standardOptions()
		}
		kept = remember(value, err)
		c.known.options[kind] = kept
	}
	return kept.value[column.Logical], nil
}

func (r remembered[T]) fresh(oldest time.Duration) bool {
	now := time.Now()
	return now.Before(r.until) && now.Sub(r.at) < oldest
}

// remember keeps what was read, and for a short time what stands in for it.
func remember[T any](value T, without error) remembered[T] {
	life := metadataLife
	if without != nil {
		life = standInLife
	}
	now := time.Now()
	return remembered[T]{value: value, at: now, until: now.Add(life)}
}

// withoutMetadata reports whether the environment serves no metadata at all,
// which Dataverse always does and a stand-in for it may not: a 404 without a code
// of Dataverse's. Then the columns of section 5 have the options that Microsoft
// ships.
func withoutMetadata(err error) bool {
	fault, ok := errors.AsType[*dynamics.Error](err)
	return ok && fault.Kind == dynamics.NotFound && fault.Code == ""
}

// kindOf is the attribute type under which metadata lists a choice column.
func kindOf(column dynamics.Column) dynamics.ColumnKind {
	switch {
	case column.Type == dynamics.Choices:
		return dynamics.MultiSelect
	case column.Logical == "statecode":
		return dynamics.State
	case column.Logical == "statuscode":
		return dynamics.Status
	default:
		return dynamics.Picklist
	}
}

func byValue(sets map[string][]dynamics.Option) map[string]map[int]string {
	out := make(map[string]map[int]string, len(sets))
	for name, options := range sets {
		out[name] = make(map[int]string, len(options))
		for _, option := range options {
			out[name][option.Value] = option.Label
		}
	}
	return out
}

// optionList writes options for an error: what would have been right. Long sets
// are cut.
func optionList(labels map[int]string) string {
	const most = 60
	var texts []string
	for _, value := range slices.Sorted(maps.Keys(labels)) {
		if len(texts) == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, fmt.Sprintf("%d %s", value, labels[value]))
	}
	if len(texts) == 0 {
		return "unknown: give an integer"
	}
	return strings.Join(texts, ", ")
}

func pick(labels map[int]string, values []int) map[int]string {
	out := make(map[int]string, len(values))
	for _, value := range values {
		out[value] = labels[value]
	}
	return out
}
