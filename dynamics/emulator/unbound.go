package emulator

import (
	"fmt"
	"net/http"
)

// unbound answers the functions that belong to no row, but for WhoAmI; known is false for another name.
func (c *call) unbound(path []segment) (a *answer, fail *fault, known bool) {
	var f func(segment, options) (*answer, *fault)
	switch path[0].name {
	case "RetrieveRolePrivilegesRole":
		f = c.rolePrivilegesRole
	case "RetrieveProvisionedLanguages":
		f = func(segment, options) (*answer, *fault) { return c.provisionedLanguages() }
	default:
		return nil, nil, false
	}
	if len(path) > 1 {
		return nil, noSegment(path[1].name), true
	}
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, methodRefused(c.method), true
	}
	o, fail := c.options()
	if fail != nil {
		return nil, fail, true
	}
	a, fail = f(path[0], o)
	return a, fail, true
}

func (c *call) provisionedLanguages() (*answer, *fault) {
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#" + crm + "RetrieveProvisionedLanguagesResponse"},
		{"RetrieveProvisionedLanguages", Languages()}})
}

func (c *call) whoAmI(first segment, n int) (*answer, *fault) {
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, &fault{status: http.StatusNotFound, code: "",
			message: fmt.Sprintf("No HTTP resource was found that matches the request URI '%sWhoAmI'.", c.base)}
	}
	if n > 1 || first.key != "" {
		return nil, noSegment(first.name)
	}
	b := []byte(`{"@odata.context":`)
	b = appendString(b, c.base+"$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse")
	for _, m := range []struct {
		name string
		id   guid
	}{{"BusinessUnitId", c.user.businessUnit}, {"UserId", c.user.id}, {"OrganizationId", c.s.dir.organization}} {
		b = append(appendString(append(b, ','), m.name), ':', '"')
		b = append(m.id.appendTo(b), '"')
	}
	return &answer{status: http.StatusOK, body: append(b, '}')}, nil
}
