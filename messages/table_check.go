package messages

import (
	"fmt"
	"reflect"
	"slices"
)

// reservedNames are words that cannot be tables: other entities, and subjects of
// crmbridge's own (crm.events.…).
var reservedNames = []string{"connections", "users", "jobs", "results", "state", "dead", "events"}

// Check reports what is wrong with a description: a table with a fault would get
// subjects or bodies that nobody can use.
func (t Table) Check() error {
	for _, name := range []string{t.Name, t.One} {
		if !snakeCase(name) {
			return t.fault("Name and One are lower-case words joined by _, for they become subjects and members; %q is not", name)
		}
	}
	if t.Name == t.One || slices.Contains(reservedNames, t.Name) {
		return t.fault("the name is taken")
	}
	for _, body := range []reflect.Type{reflect.TypeFor[GetRequest](), reflect.TypeFor[Page](), reflect.TypeFor[RowReply](), reflect.TypeFor[ChangesReply]()} {
		members := memberNames(t.form(body))
		slices.Sort(members)
		if twice := len(members) - len(slices.Compact(members)); twice > 0 {
			return t.fault("a body has another member of the same name: %v", members)
		}
	}
	for _, need := range [][2]string{{"Set", t.Set}, {"Logical", t.Logical}, {"Key", t.Key}, {"Display", t.Display},
		{"ReadPrivilege", t.ReadPrivilege}, {"Consent", t.Consent}} {
		if need[1] == "" {
			return t.fault("%s is missing", need[0])
		}
	}
	return t.checkFields()
}

func (t Table) checkFields() error {
	columns := map[string]string{} // by friendly name
	for _, field := range t.Fields {
		switch {
		case !snakeCase(field.Name) || columns[field.Name] != "":
			return t.fault("field %q: the name is there twice, or is not of lower-case words joined by _", field.Name)
		case field.Logical == "":
			return t.fault("field %q: Logical is missing", field.Name)
		case !slices.Contains(FieldTypes(), field.Type):
			return t.fault("field %q: there is no type %q", field.Name, field.Type)
		}
		columns[field.Name] = field.Logical
	}
	if columns["id"] != t.Key {
		return t.fault("the field id is not the key, %s", t.Key)
	}
	if len(t.DefaultFields) == 0 {
		return t.fault("DefaultFields is empty")
	}
	for _, name := range t.DefaultFields {
		if columns[name] == "" {
			return t.fault("the default field %q is none of Fields", name)
		}
	}
	return nil
}

func (t Table) fault(format string, args ...any) error {
	return fmt.Errorf("table %q: %w", t.Name, fmt.Errorf(format, args...))
}

func snakeCase(name string) bool {
	for i := range len(name) {
		c := name[i]
		if letter := c >= 'a' && c <= 'z'; !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}
