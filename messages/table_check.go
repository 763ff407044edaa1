package messages

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reservedNames are words that cannot be tables: other entities, and subjects of
// crmbridge's own (crm.events.…).
var reservedNames = []string{"connections", "users", "jobs", "results", "state", "dead", "events"}

// maxTableName bounds Name and One: they are parts of subjects and of what metadata is
// kept under.
const maxTableName = 48

// maxLogicalName is what Dataverse allows for names of tables and columns.
const maxLogicalName = 128

var privilegeName = regexp.MustCompile(`^prv[A-Za-z0-9_]{1,120}$`)

// Check reports what is wrong with a description: a table with a fault would get
// subjects, bodies or requests to Dataverse that nobody can use.
func (t Table) Check() error {
	for _, name := range []string{t.Name, t.One} {
		if !snakeCase(name) || len(name) > maxTableName {
			return t.fault("Name and One are lower-case words joined by _, of at most %d characters, "+
				"for they become subjects and members; %q is not", maxTableName, name)
		}
	}
	if t.Name == t.One || slices.Contains(reservedNames, t.Name) {
		return t.fault("the name is taken")
	}
	for _, body := range []reflect.Type{reflect.TypeFor[GetRequest](), reflect.TypeFor[Page](),
		reflect.TypeFor[RowReply](), reflect.TypeFor[ChangesReply]()} {
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
		if strings.ContainsFunc(need[1], unicode.IsControl) || !utf8.ValidString(need[1]) {
			return t.fault("%s is %q; it must be one line of text", need[0], need[1])
		}
	}
	for _, name := range [][2]string{{"Set", t.Set}, {"Logical", t.Logical}, {"Key", t.Key}} {
		if !logicalName(name[1]) {
			return t.fault("%s is %q; Dataverse's names are of a-z, 0-9 and _, and begin with a letter", name[0], name[1])
		}
	}
	if !privilegeName.MatchString(t.ReadPrivilege) {
		return t.fault("ReadPrivilege is %q; a privilege's name begins with prv, and letters, digits and _ follow",
			t.ReadPrivilege)
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
		case !logicalName(field.Logical):
			return t.fault("field %q: Logical is %q; Dataverse's names are of a-z, 0-9 and _, and begin with a letter",
				field.Name, field.Logical)
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

// logicalName reports whether a name is one of Dataverse's: it becomes part of URLs.
func logicalName(name string) bool { return snakeCase(name) && len(name) <= maxLogicalName }

func snakeCase(name string) bool {
	for i := range len(name) {
		c := name[i]
		if letter := c >= 'a' && c <= 'z'; !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}
