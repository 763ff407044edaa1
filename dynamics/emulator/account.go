package emulator

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Account is one row. A nil pointer or an empty text is a column without a value, as in Dataverse.
type Account struct {
	// ID is accountid, in lower case.
	ID                                   string
	Name, Number, Website, Phone, Email  string
	Description                          string
	Line1, City, State, PostalCode, Land string // address1_…; Land is address1_country
	Ticker                               string
	Employees                            *int32
	// Revenue and CreditLimit are in ten-thousandths of a US dollar, as Dataverse keeps money.
	Revenue, CreditLimit *int64
	// Choices by their integers.
	Industry, Classification, Category, CustomerType, Ownership, Rating, PreferredContact *int32
	StateCode, StatusCode                                                                 int32
	DoNotEmail, DoNotBulkEmail, DoNotPhone, CreditOnHold                                  bool
	// OwnerID is a systemuser or a team, ParentID an account or empty.
	OwnerID, ParentID     string
	CreatedOn, ModifiedOn time.Time
	// Tier, ExternalRef, LeadScore (in ten-thousandths), Channels and LastCampaign are the custom columns cb_….
	Tier         *int32
	ExternalRef  string
	LeadScore    *int64
	Channels     []int32
	LastCampaign time.Time // date only; zero means none
	Version      int64

	id, owner, parent guid
}

// snapshot is all rows at one moment; nothing in it is ever changed.
type snapshot struct {
	accounts []*Account // by key
	rows     []any      // the same
	byID     map[guid]*Account
	dir      *directory
}

// store replaces snapshots; readers never wait.
type store struct {
	mu      sync.Mutex
	now     atomic.Pointer[snapshot]
	version int64
}

func newStore(o Options, d *directory) *store {
	s := &store{version: 4_000_000}
	rows := generate(o, d)
	for _, a := range rows {
		s.version += 7
		a.Version = s.version
	}
	s.now.Store(newSnapshot(rows, d))
	return s
}

func newSnapshot(rows []*Account, d *directory) *snapshot {
	v := &snapshot{accounts: rows, byID: make(map[guid]*Account, len(rows)), dir: d}
	slices.SortFunc(v.accounts, func(a, b *Account) int { return a.id.compare(b.id) })
	v.rows = make([]any, len(rows))
	for i, a := range v.accounts {
		v.byID[a.id] = a
		v.rows[i] = a
	}
	return v
}

func (s *store) view() *snapshot { return s.now.Load() }

// put stores a copy; the address of the old row stays valid for readers that have it.
func (s *store) put(a Account, now time.Time) string {
	if a.ID == "" {
		a.ID = randomGUID().String()
	}
	id, ok := parseGUID(a.ID)
	if !ok {
		return ""
	}
	a.id, a.ID = id, id.String()
	a.owner, _ = parseGUID(a.OwnerID)
	a.parent, _ = parseGUID(a.ParentID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version += 3
	a.Version, a.ModifiedOn = s.version, now.UTC().Truncate(time.Second)
	if a.StatusCode == 0 {
		a.StatusCode = a.StateCode + 1
	}
	if a.CreatedOn.IsZero() {
		a.CreatedOn = a.ModifiedOn
	}
	old := s.view()
	rows := slices.DeleteFunc(slices.Clone(old.accounts), func(x *Account) bool { return x.id == id })
	s.now.Store(newSnapshot(append(rows, &a), old.dir))
	return a.ID
}

func (s *store) delete(id string) bool {
	g, ok := parseGUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.view()
	if !ok || old.byID[g] == nil {
		return false
	}
	rows := slices.DeleteFunc(slices.Clone(old.accounts), func(x *Account) bool { return x.id == g })
	s.now.Store(newSnapshot(rows, old.dir))
	return true
}

// reference is what a lookup's id stands for.
type reference struct{ name, entity string }

func (v *snapshot) refer(id guid) (reference, bool) {
	if a := v.byID[id]; a != nil {
		return reference{a.Name, "account"}, true
	}
	return v.dir.refer(id)
}

func (d *directory) refer(id guid) (reference, bool) {
	ref, ok := d.references[id]
	return ref, ok
}

// index fills references once everything is there.
func (d *directory) index() {
	d.references = map[guid]reference{currencyID: {"US Dollar", "transactioncurrency"}}
	for n, g := range d.units {
		d.references[g] = reference{n, "businessunit"}
	}
	for _, u := range d.users {
		d.references[u.id] = reference{u.Name, "systemuser"}
	}
	for _, t := range d.teams {
		d.references[t.id] = reference{t.name, "team"}
	}
	for _, r := range d.roles {
		d.references[r.id] = reference{r.name, "role"}
	}
}

var currencyID, _ = parseGUID("228f42f8-e646-e111-8eb7-78e7d162ced1")
