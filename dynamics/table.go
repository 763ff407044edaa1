package dynamics

import (
	"net/http"
	"slices"
	"strings"
)

// A Table says how the Web API names one table. It has no default: whatever reads rows
// or metadata takes the table that it reads.
type Table struct {
	// Name is the table's name in this product: "accounts". Operations in an [Error]
	// and a [Call] begin with it, and [Access].Tables lists it.
	Name string
	// Set, Logical and Key are the names of the entity set, of the table, and of its
	// primary key: "accounts", "account", "accountid".
	Set, Logical, Key string
	// Display is what Power Apps calls the table: "Account".
	Display string
	// Privilege is the privilege that reading rows takes: "prvReadAccount".
	Privilege string
	// Product is the product that brings the table to an environment, "" where each
	// environment has it: "Dynamics 365 Sales".
	Product string
}

// What is done with a table.
const (
	verbPage = "page"
	verbGet  = "get"
)

// op is the name of an operation on the table: accounts.page.
func (t Table) op(verb string) string { return t.Name + "." + verb }

// key is the primary key. Pages are ordered and continued by it.
func (t Table) key() Column { return Column{Logical: t.Key, Type: UniqueID} }

// attributes is the path of the table's columns in the metadata.
func (t Table) attributes() string {
	return "EntityDefinitions(LogicalName='" + t.Logical + "')/Attributes"
}

// check refuses what must not enter a URL, or a table that was not filled in.
func (t Table) check(op string) *Error {
	if t.Name == "" || !isLogicalName(t.Set) || !isLogicalName(t.Logical) || !isLogicalName(t.Key) {
		return refuse(op, "", "the table's names are not lower-case letters, digits and underscores")
	}
	return nil
}

// permits reports whether the connection's person was told that the table is read. It
// goes before everything that asks for rows or metadata.
func (s *Session) permits(t Table, op string) error {
	if err := t.check(op); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.tables, t.Name) {
		return nil
	}
	return &Error{Kind: NotConsented, Op: op, Table: t, Message: "the person who connected was not told that " +
		t.Name + " are read"}
}

// missing reports whether a refusal says that the environment does not have the table,
// which it may only lack with its product. An unknown entity set is told by its name
// ("Troubleshoot Dataverse Web API client errors",
// https://learn.microsoft.com/troubleshoot/power-platform/dataverse/dataverse-web-api-and-sdk/web-api-client-errors);
// the codes are 0x8006088a in the documents and 0x80060888 as seen, and both come with
// other faults too. Metadata says QueryBuilderNoEntity. A row that is missing has
// another code.
func (t Table) missing(status int, code, message string) bool {
	if t.Product == "" || status != http.StatusNotFound && status != http.StatusBadRequest {
		return false
	}
	if strings.EqualFold(code, noEntity) {
		return strings.Contains(message, "'"+t.Logical+"'")
	}
	return status == http.StatusNotFound &&
		strings.Contains(strings.ToLower(message), "resource not found for the segment '"+t.Set+"'")
}
