package emulator

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Metadata of the tables: EntityDefinitions(LogicalName='account'), its Attributes and their option
// sets (section 13). It takes prvReadEntity, and prvReadAttribute for what is below a table. Their
// object type codes in refusals are unverified.

// object keeps its members in order, as Microsoft's answers do.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(appendString(b, m.name), ':'), v...)
	}
	return append(b, '}'), nil
}

func (c *call) metadataPrivilege(attributes bool) *fault {
	need := []struct {
		privilege string
		about     subject
	}{{readEntity, subject{"entity", "Entity", 9800}}, {readAttribute, subject{"attribute", "Attribute", 9808}}}
	if !attributes {
		need = need[:1]
	}
	for _, n := range need {
		if c.user.depth(n.privilege).depth == DepthNone {
			return c.user.missing(n.privilege, n.about)
		}
	}
	return nil
}

var logicalKey = regexp.MustCompile(`^LogicalName='([a-z][a-z0-9_]*)'$`)

func (c *call) metadata(path []segment) (*answer, *fault) {
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, methodRefused(c.method)
	}
	if fail := c.metadataPrivilege(len(path) > 1); fail != nil {
		return nil, fail
	}
	o, fail := c.options()
	if fail != nil {
		return nil, fail
	}
	for _, p := range o.pairs {
		if p[0] != "$select" && p[0] != "$expand" && p[0] != "$filter" {
			return nil, badRequest("The query parameter %s is not supported", p[0])
		}
	}
	if !path[0].hasKey {
		if _, filtered := o.get("$filter"); filtered || len(path) > 1 {
			return nil, badRequest("The query parameter $filter is not supported")
		}
		return c.definitions(o)
	}
	t, fail := c.tableOf(path[0])
	if fail != nil {
		return nil, fail
	}
	if len(path) == 1 {
		return c.definition(t, o)
	}
	if path[1].name != "Attributes" {
		return nil, noSegment(path[1].name)
	}
	return c.attributes(t, path[1:], o)
}

func (c *call) tableOf(s segment) (*table, *fault) {
	m := logicalKey.FindStringSubmatch(s.key)
	if m != nil {
		for _, t := range c.tables() {
			if t.logical == m[1] {
				return t, nil
			}
		}
		return nil, &fault{status: http.StatusNotFound, code: "0x80041102", message: "The entity with a name = '" + m[1] +
			"' with namemapping = 'Logical' was not found in the MetadataCache."}
	}
	id, ok := parseGUID(s.key)
	for _, t := range c.tables() {
		if ok && namedGUID("metadata", t.logical) == id {
			return t, nil
		}
	}
	return nil, badRequest("Error in query syntax.")
}

// ownership is who rows belong to; of tables with no owner nothing is said.
func (t *table) ownership() string {
	if t.column("ownerid") != nil {
		return "UserOwned"
	}
	return ""
}

func (c *call) describe(t *table) object {
	return object{
		{"LogicalName", t.logical}, {"SchemaName", strings.ToUpper(t.logical[:1]) + t.logical[1:]}, {"EntitySetName", t.set},
		{"LogicalCollectionName", t.set}, {"PrimaryIdAttribute", t.key}, {"PrimaryNameAttribute", t.primary},
		{"ObjectTypeCode", t.otc},
		{"ChangeTrackingEnabled", t.tracking}, {"IsCustomEntity", t.custom}, {"IsOptimisticConcurrencyEnabled", true},
		{"OwnershipType", t.ownership()}, {"DisplayName", c.label(words{t.label, t.translated.of(t.label)})},
		{"MetadataId", namedGUID("metadata", t.logical).String()},
	}
}

// narrow applies $select; MetadataId always stays, and so do members that start with @ and expanded ones.
func narrow(o object, sel, typeName string, keep ...string) (object, string, *fault) {
	if strings.TrimSpace(sel) == "" {
		return o, "", nil
	}
	var out object
	var names []string
	for _, m := range o {
		if strings.HasPrefix(m.name, "@") {
			out = append(out, m)
		}
	}
	for part := range strings.SplitSeq(sel, ",") {
		name := strings.TrimSpace(part)
		i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
		if i < 0 || strings.HasPrefix(name, "@") {
			return nil, "", badRequest("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.%s'.", name,
				typeName)
		}
		names = append(names, name)
		if name != "MetadataId" {
			out = append(out, o[i])
		}
	}
	for _, m := range o {
		if m.name == "MetadataId" || slices.Contains(keep, m.name) {
			out = append(out, m)
		}
	}
	return out, "(" + strings.Join(names, ",") + ")", nil
}

func (c *call) definition(t *table, o options) (*answer, *fault) {
	sel, _ := o.get("$select")
	body, list, fail := narrow(c.describe(t), sel, "EntityMetadata")
	if fail != nil {
		return nil, fail
	}
	return c.jsonAnswer(append(object{{"@odata.context", c.base + "$metadata#EntityDefinitions" + list + "/$entity"}},
		body...))
}

func (c *call) definitions(o options) (*answer, *fault) {
	sel, _ := o.get("$select")
	rows, list := []object{}, ""
	for _, set := range sets(c.tables()) {
		body, l, fail := narrow(c.describe(c.tables()[set]), sel, "EntityMetadata")
		if fail != nil {
			return nil, fail
		}
		rows, list = append(rows, body), l
	}
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#EntityDefinitions" + list}, {"value", rows}})
}

func (c *call) jsonAnswer(o object) (*answer, *fault) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, &fault{status: http.StatusInternalServerError, code: "0x80040216",
			message: "An unexpected error occurred."}
	}
	return &answer{status: http.StatusOK, body: b}, nil
}
