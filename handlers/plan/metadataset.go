package plan

import (
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// metadataForm is the form in which metadata is shared; raise it with a change of
// metadataSet, of what it consists of, or of what it is shared under, so that processes of two versions do not
// read each other's.
const metadataForm = "3"

// A metadataSet is one kind of metadata of a table: the columns, or the options of
// one attribute type. It does not change once it is shared.
type metadataSet struct {
	At      time.Time                       `json:"at"` // when it was read from Dataverse
	Columns map[string]dynamics.TableColumn `json:"columns,omitempty"`
	Options map[string][]dynamics.Option    `json:"options,omitempty"`
	Counts  map[string]int                  `json:"counts,omitempty"` // of options, where they are cut

	hides      bool      // the session's user may not read some of the columns
	freshUntil time.Time // used in this process without a comparison with the fleet's
	labels     *labelMaps
	more       int64 // what labels take, guarded by the entry
}

// labelMaps keeps the labels of choice columns by value, each made when it is first asked
// for.
type labelMaps struct {
	mu sync.Mutex
	by map[string]map[int]string // by logical name
}

// labelRoom is what an entry of a map from values to labels takes in bytes; the text
// is the metadata's.
const labelRoom = 64

// of returns the labels of a column, nil where they have not been made.
func (l *labelMaps) of(name string) map[int]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[name]
}

// keep reports whether it is the first to keep a column's labels.
func (l *labelMaps) keep(name string, labels map[int]string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[name] != nil {
		return false
	}
	if l.by == nil {
		l.by = map[string]map[int]string{}
	}
	l.by[name] = labels
	return true
}

const kindColumns = "columns"

// describe takes options in the form in which they are shared.
func (d *metadataSet) setOptions(sets map[string]dynamics.OptionSet) {
	d.Options, d.Counts = make(map[string][]dynamics.Option, len(sets)), map[string]int{}
	for name, set := range sets {
		if d.Options[name] = set.Options; set.Count > len(set.Options) {
			d.Counts[name] = set.Count
		}
	}
}

// set is the options of one column.
func (d *metadataSet) set(name string) dynamics.OptionSet {
	options := d.Options[name]
	return dynamics.OptionSet{Options: options, Count: max(len(options), d.Counts[name])}
}

func (d *metadataSet) hidesSome() bool {
	for _, column := range d.Columns {
		if !column.Readable {
			return true
		}
	}
	return false
}

// size is about what metadata takes in memory, in bytes.
func (d *metadataSet) size() int64 {
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
