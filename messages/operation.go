package messages

import (
	"slices"
	"strings"
)

// An Operation is one thing that a requester can ask for, named entity.verb:
// accounts.search, users.get.
type Operation string

// The operations that do not belong to a table, but for those on jobs: see [JobsGet].
// Those of a table are [Table.Operation].
const (
	ConnectionsAuthorize Operation = "connections.authorize"
	ConnectionsComplete  Operation = "connections.complete"
	ConnectionsGet       Operation = "connections.get"
	ConnectionsList      Operation = "connections.list"
	ConnectionsDelete    Operation = "connections.delete"
	ConnectionsCheck     Operation = "connections.check"
	ConnectionsLimits    Operation = "connections.limits"
	UsersWhoAmI          Operation = "users.whoami"
	UsersGet             Operation = "users.get"
)

// A Verb is what is done with a table's rows.
type Verb string

// The verbs that every table has.
const (
	VerbSearch  Verb = "search"
	VerbGet     Verb = "get"
	VerbCount   Verb = "count"
	VerbFields  Verb = "fields"
	VerbChanges Verb = "changes"
)

// Verbs lists the verbs of a table.
func Verbs() []Verb { return []Verb{VerbSearch, VerbGet, VerbCount, VerbFields, VerbChanges} }

// Operation is a verb of the table: accounts.search.
func (t Table) Operation(verb Verb) Operation { return Operation(t.Name + "." + string(verb)) }

// Operations lists every operation of a deployment that serves these tables.
func Operations(tables []Table) []Operation {
	ops := fixedOperations()
	for _, table := range tables {
		for _, verb := range Verbs() {
			ops = append(ops, table.Operation(verb))
		}
	}
	return ops
}

func fixedOperations() []Operation {
	return []Operation{ConnectionsAuthorize, ConnectionsComplete, ConnectionsGet, ConnectionsList, ConnectionsDelete,
		ConnectionsCheck, ConnectionsLimits, UsersWhoAmI, UsersGet, JobsGet, JobsList, JobsResults, JobsCancel,
		JobsRetry, JobsDelete}
}

// Entity is the part before the dot: accounts.
func (op Operation) Entity() string {
	entity, _, _ := strings.Cut(string(op), ".")
	return entity
}

// Table finds the one of tables that the operation belongs to, and what it does
// with the rows. Operations without a table have none.
func (op Operation) Table(tables []Table) (Table, Verb, bool) {
	entity, verb, _ := strings.Cut(string(op), ".")
	at := slices.IndexFunc(tables, func(t Table) bool { return t.Name == entity })
	if at < 0 || !slices.Contains(Verbs(), Verb(verb)) {
		return Table{}, "", false
	}
	return tables[at], Verb(verb), true
}

// Endpoint is the operation's name in NATS's services API, where names hold no
// dots: accounts-search, and accounts-search-scoped for its scoped subject.
func (op Operation) Endpoint(scoped bool) string {
	name := strings.ReplaceAll(string(op), ".", "-")
	if scoped {
		name += "-scoped"
	}
	return name
}
