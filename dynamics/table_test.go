package dynamics_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

var (
	contacts = dynamics.Table{Name: "contacts", Set: "contacts", Logical: "contact", Key: "contactid",
		Privilege: "prvReadContact"}
	leads = dynamics.Table{Name: "leads", Set: "leads", Logical: "lead", Key: "leadid", Privilege: "prvReadLead",
		Product: "Dynamics 365 Sales"}
)

// readings are all that a session can be asked about a table's rows and metadata.
var readings = map[string]func(context.Context, *dynamics.Session, dynamics.Table) error{
	"page": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		p, err := s.Prepare(t, nameOnly)
		if err != nil {
			return err
		}
		_, err = s.Page(ctx, p, "")
		return err
	},
	"next page": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		p, err := s.Prepare(t, nameOnly)
		if err != nil {
			return err
		}
		_, err = s.Page(ctx, p, s.Environment()+"/api/data/v9.2/"+t.Set+"?x")
		return err
	},
	"changes": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		p, err := s.PrepareChanges(t, dynamics.ChangesQuery{Select: nameOnly.Select})
		if err != nil {
			return err
		}
		_, err = s.Changes(ctx, p, "")
		return err
	},
	"later changes": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		p, err := s.PrepareChanges(t, dynamics.ChangesQuery{Select: nameOnly.Select})
		if err != nil {
			return err
		}
		_, err = s.Changes(ctx, p, s.Environment()+"/api/data/v9.2/"+t.Set+"?x")
		return err
	},
	"row": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		_, err := s.Row(ctx, t, someID, nameOnly.Select)
		return err
	},
	"count": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		_, err := s.Count(ctx, t, nil)
		return err
	},
	"exceeds": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		_, err := s.Exceeds(ctx, t, nil)
		return err
	},
	"columns": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		_, err := s.Columns(ctx, t)
		return err
	},
	"options": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error {
		_, err := s.Options(ctx, t, dynamics.State)
		return err
	},
	"probe of rows":     func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error { return s.TryRows(ctx, t) },
	"probe of metadata": func(ctx context.Context, s *dynamics.Session, t dynamics.Table) error { return s.TryMetadata(ctx, t) },
}

// Every reading asks for its own table, by its own names, and says so.
func TestEveryReadingAsksForItsTable(t *testing.T) {
	for name, read := range readings {
		r := newRig(t, answer(403, `{"error":{"code":"0x80040220","message":"no"}}`))
		e := kind(t, read(t.Context(), r.open(t), contacts), dynamics.Forbidden)
		if e.Table != contacts || !strings.HasPrefix(e.Op, "contacts.") && !strings.HasPrefix(e.Op, "metadata.") &&
			!strings.HasPrefix(e.Op, "probe.") {
			t.Errorf("%s: table %+v, op %s", name, e.Table, e.Op)
		}
		if changes := strings.Contains(name, "changes"); e.OfChanges() != changes ||
			(e.Privilege == "prvReadContact") == changes {
			t.Errorf("%s: privilege %q where Dataverse names none", name, e.Privilege)
		}
		for _, uri := range r.uris() {
			if strings.Contains(uri, "account") || !strings.Contains(uri, "/contacts") &&
				!strings.Contains(uri, "(LogicalName='contact')/") {
				t.Errorf("%s asked for %s", name, uri)
			}
		}
	}
}

// What the person who connected was not told of is not read, whoever asks how, and
// nothing is sent.
func TestATableThatNobodyWasToldOf(t *testing.T) {
	for name, read := range readings {
		for _, tables := range [][]string{nil, {}, {"contact", "leads", "Contacts"}} {
			r := newRig(t, answer(200, `{}`))
			r.tokens.access.Tables = tables
			e := kind(t, read(t.Context(), r.open(t), contacts), dynamics.NotConsented)
			if e.Table != contacts || len(r.uris()) != 0 {
				t.Errorf("%s with %v: %+v, sent %v", name, tables, e, r.uris())
			}
		}
	}
}

// A person may connect again for fewer tables while a session goes on.
func TestConsentIsWhatItIsNow(t *testing.T) {
	for name, read := range readings {
		r := newRig(t, answer(http.StatusServiceUnavailable, ""), func(c *dynamics.Config) { c.MaxAttempts = 2 })
		r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r.mu.Lock()
			r.seen = append(r.seen, req)
			r.mu.Unlock()
			r.tokens.set(func(a *dynamics.Access) { a.Tables = []string{"accounts"} })
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		kind(t, read(t.Context(), r.open(t), contacts), dynamics.NotConsented)
		if n := len(r.uris()); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

// An environment without a product lacks its tables, which is another thing than a row
// that is not there, and than a wrong address.
func TestATableThatTheEnvironmentDoesNotHave(t *testing.T) {
	form := func(code, message string) string {
		return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	}
	for _, c := range []struct {
		table  dynamics.Table
		status int
		body   string
		want   dynamics.Kind
	}{
		{leads, 404, form("0x80060888", "Resource not found for the segment 'leads'."), dynamics.NoTable},
		{leads, 404, form("0x8006088a", "Resource not found for the segment 'leads'."), dynamics.NoTable},
		{leads, 404, form("0x80041102", "The entity with a name = 'lead' with namemapping = 'Logical' was not found in the MetadataCache."), dynamics.NoTable},
		{leads, 400, form("0x80041102", "The entity with a name = 'lead' with namemapping = 'Logical' was not found in the MetadataCache."), dynamics.NoTable},
		{leads, 404, form("0x80040217", "lead With Id = x Does Not Exist"), dynamics.NotFound},
		{leads, 404, form("0x80060888", "Resource not found for the segment 'Attributes'."), dynamics.Upstream},
		{leads, 404, "<html>no</html>", dynamics.Upstream},
		{contacts, 404, form("0x80060888", "Resource not found for the segment 'contacts'."), dynamics.Upstream},
	} {
		for name, read := range readings {
			e := kind(t, read(t.Context(), newRig(t, answer(c.status, c.body)).open(t), c.table), c.want)
			if e.Table != c.table {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

// A link leads to more of its own table or nowhere.
func TestALinkToAnotherTable(t *testing.T) {
	for _, table := range []dynamics.Table{accounts, contacts} {
		other := map[string]string{"accounts": "contacts", "contacts": "accounts"}[table.Set]
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"http://%s/api/data/v9.2/%s?x"}`, req.Host, other)
		})
		kind(t, readings["page"](t.Context(), r.open(t), table), dynamics.Upstream)
	}
}

// Names that have no form in a URL are refused: a table is not always written in code.
func TestATableMustBeFilledIn(t *testing.T) {
	for _, change := range []func(*dynamics.Table){
		func(t *dynamics.Table) { *t = dynamics.Table{} }, func(t *dynamics.Table) { t.Name = "" }, func(t *dynamics.Table) { t.Set = "contacts?x" },
		func(t *dynamics.Table) { t.Logical = "contact')" }, func(t *dynamics.Table) { t.Key = "" },
	} {
		table := contacts
		change(&table)
		for name, read := range readings {
			r := newRig(t, answer(200, `{}`))
			if dynamics.KindOf(read(t.Context(), r.open(t), table)) != dynamics.Invalid || len(r.uris()) > 0 {
				t.Errorf("%s of %+v is asked for", name, table)
			}
		}
	}
}
