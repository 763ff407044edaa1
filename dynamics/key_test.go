package dynamics_test

import (
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// The key of a row says whether it is still where it was: it follows every value that
// the rows are ordered by, of a lookup its name too, by which Dataverse orders, and
// nothing else.
func TestTheKeyOfARowFollowsItsPlace(t *testing.T) {
	q := dynamics.Query{Select: nameOnly.Select, OrderBy: []dynamics.Order{
		{Column: column("ownerid", dynamics.Lookup)}, {Column: column("telephone1", dynamics.Text)}, {Column: column("telephone2", dynamics.Text)}}}
	row := func(owner, ownerName, first, second, other string) string {
		return `{"accountid":"` + someID + `","_ownerid_value":"` + owner +
			`","_ownerid_value@OData.Community.Display.V1.FormattedValue":"` + ownerName +
			`","telephone1":` + first + `,"telephone2":` + second + `,"name":"` + other + `"}`
	}
	page, err := readOne(t, q, pageOf(
		row(otherID, "Ada", `"1"`, `null`, "x"),
		row(otherID, "Ada", `"1"`, `null`, "y"),
		row(otherID, "Bea", `"1"`, `null`, "x"),
		row(someID, "Ada", `"1"`, `null`, "x"),
		row(otherID, "Ada", `"2"`, `null`, "x"),
		row(otherID, "Ada", `null`, `"1"`, "x"),
		row(otherID, "Ada", `"1"`, `"1"`, "x"),
	))
	if err != nil {
		t.Fatal(err)
	}
	if page.Key(1) != page.Key(0) {
		t.Error("it follows a value that is not of the order")
	}
	for i, what := range map[int]string{2: "the lookup's name", 3: "the lookup's id", 4: "a text",
		5: "which of two columns has a text", 6: "a second column"} {
		if page.Key(i) == page.Key(0) {
			t.Errorf("it does not follow %s", what)
		}
	}
}
