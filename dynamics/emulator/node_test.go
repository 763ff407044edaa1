package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// nodeClient is node and the folder that dynamics-web-api is installed in (.ci/run makes it); the
// test is skipped where one is missing, unless CRMBRIDGE_TEST_NODE=required.
func nodeClient(t *testing.T) (node, folder string) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CRMBRIDGE_TEST_NODE") == "required" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node is not installed")
	}
	if folder = os.Getenv("CRMBRIDGE_TEST_NODE_FOLDER"); folder == "" {
		missing("CRMBRIDGE_TEST_NODE_FOLDER does not name the folder in which dynamics-web-api is installed")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "dynamics-web-api", "package.json")); err != nil {
		missing("dynamics-web-api is not installed in CRMBRIDGE_TEST_NODE_FOLDER: %v", err)
	}
	return node, folder
}

type nodeFailure struct {
	Status        int
	Code, Message string
}

type nodeReport struct {
	WhoAmI struct{ UserID, BusinessUnitID, OrganizationID string }
	All    struct {
		Sizes []int
		IDs   []string
	}
	Filtered struct {
		Sizes []int
		Rows  []struct {
			ID, Name, Label, LabelOfClient, Owner, OwnerTable string
			Industry                                          *int32
		}
	}
	Counted struct{ Count, Rows int }
	Roles   struct {
		Name  string
		Roles []string
	}
	Team []struct {
		Name  string
		Roles int
	}
	Definition struct{ Name, Set string }
	Batch      struct {
		Rows int
		Me   string
	}
	Industries, Privileges                []string
	UnknownColumn, UnknownRow, UnknownSet nodeFailure
	UnknownToken                          nodeFailure
}

// A client that other people wrote against the real service reads the emulator.
func TestTheJavaScriptClient(t *testing.T) {
	node, folder := nodeClient(t)
	script, err := filepath.Abs("testdata/dynamics-web-api/read.mjs")
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 300})
	cmd := exec.CommandContext(t.Context(), node, script)
	cmd.Dir = folder
	// A proxy of the machine must not stand between the two.
	cmd.Env = append(slices.DeleteFunc(os.Environ(),
		func(v string) bool { return strings.Contains(strings.ToLower(v), "proxy=") }),
		"ENVIRONMENT="+g.url+"/", "TOKEN="+g.signIn("").AccessToken)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r nodeReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %.500s", err, out)
	}
	checkRead(t, g, r)
	checkRows(t, g, r)
	for name, c := range map[string]struct{ got, want nodeFailure }{
		"an unknown column":     {r.UnknownColumn, nodeFailure{400, "0x80060888", "Could not find a property named 'nix' on type 'Microsoft.Dynamics.CRM.account'."}},
		"an unknown row":        {r.UnknownRow, nodeFailure{404, "0x80040217", "account With Id = 018d0d88-05c2-46bb-ac83-63a910e8b1f1 Does Not Exist"}},
		"an unknown entity set": {r.UnknownSet, nodeFailure{404, "0x80060888", "Resource not found for the segment 'acounts'."}},
		"no token":              {r.UnknownToken, nodeFailure{Status: 401}},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, c.got, c.want)
		}
	}
}

func checkRead(t *testing.T, g *rig, r nodeReport) {
	t.Helper()
	ada := g.s.Control().Users()[0]
	if r.WhoAmI.UserID != ada.ID || len(r.WhoAmI.BusinessUnitID) != 36 || len(r.WhoAmI.OrganizationID) != 36 {
		t.Errorf("WhoAmI: %+v", r.WhoAmI)
	}
	if r.Counted.Count != 300 || r.Counted.Rows != 3 {
		t.Errorf("counted: %+v", r.Counted)
	}
	if r.Roles.Name != ada.Name || !slices.Equal(r.Roles.Roles, ada.Roles) {
		t.Errorf("roles: %+v", r.Roles)
	}
	enabled := 0
	for _, u := range g.s.Control().Users() {
		if u.Disabled || u.NotMember {
			continue
		}
		enabled++
		if !slices.Contains(r.Team, struct {
			Name  string
			Roles int
		}{u.Name, len(u.Roles)}) {
			t.Errorf("%s with %d roles is missing: %+v", u.Name, len(u.Roles), r.Team)
		}
	}
	if len(r.Team) != enabled {
		t.Errorf("%d users, want %d", len(r.Team), enabled)
	}
	if r.Definition.Name != "account" || r.Definition.Set != "accounts" || len(r.Industries) != 33 ||
		r.Industries[6] != "Consulting" {
		t.Errorf("metadata: %+v %q", r.Definition, r.Industries)
	}
	if r.Batch.Rows != 2 || r.Batch.Me != ada.ID {
		t.Errorf("batch: %+v", r.Batch)
	}
	if !slices.Equal(r.Privileges, emulator.Privileges()) {
		t.Errorf("privileges: %q", r.Privileges)
	}
}

func checkRows(t *testing.T, g *rig, r nodeReport) {
	t.Helper()
	var ids []string
	want := map[string]string{}
	for a := range g.s.Control().Accounts() {
		ids = append(ids, a.ID)
		if a.Industry != nil && *a.Industry == 7 || strings.Contains(a.Name, "O'Brien") {
			want[a.ID] = a.Name
		}
	}
	if !slices.Equal(r.All.IDs, ids) || fmt.Sprint(r.All.Sizes) != "[37 37 37 37 37 37 37 37 4]" {
		t.Errorf("all rows: %d in pages of %v, want %d once each, in order", len(r.All.IDs), r.All.Sizes, len(ids))
	}
	if len(r.Filtered.Rows) != len(want) || len(want) < 6 || len(r.Filtered.Sizes) != (len(want)+4)/5 {
		t.Errorf("filtered: %d rows in pages of %v, want %d", len(r.Filtered.Rows), r.Filtered.Sizes, len(want))
	}
	for i, row := range r.Filtered.Rows {
		if want[row.ID] != row.Name {
			t.Errorf("row %d: %+v, want %q", i, row, want[row.ID])
		}
		delete(want, row.ID)
		if consulting := row.Industry != nil && *row.Industry == 7; consulting &&
			(row.Label != "Consulting" || row.LabelOfClient != "Consulting") {
			t.Errorf("row %d without its label: %+v", i, row)
		}
		if row.Owner == "" || row.OwnerTable != "systemuser" && row.OwnerTable != "team" {
			t.Errorf("row %d: owner %+v", i, row)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
