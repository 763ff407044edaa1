package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// A page is what the template shows. All texts of others go through clip there.
type page struct {
	Path, Title     string
	At              time.Time
	Refresh, Number int // seconds, and of the HTTP status
	Findings        []cell
	Notes, Commands []string
	Hour            [60]minute // with its sum, and the most requests in a minute
	Sum             minute
	Peak            int
	Tables          []*table
	Next            template.URL // it is encoded here, for a template encodes a query as a whole
}

// A table has a cell in each row for each of its heads; numbers are the last.
type table struct {
	Title   string
	Numbers bool
	Heads   []string
	Rows    [][]cell
}

// A cell has a text, which may be a link, and what is said of it.
type cell struct{ Text, Link, Sub any }

func (p *page) table(title string, numbers bool, heads ...string) *table {
	p.Tables = append(p.Tables, &table{Title: title, Numbers: numbers, Heads: heads})
	return p.Tables[len(p.Tables)-1]
}

func (t *table) row(cells ...cell) { t.Rows = append(t.Rows, cells) }

func (p *page) find(link, format string, args ...any) {
	p.Findings = append(p.Findings, cell{Text: fmt.Sprintf(format, args...), Link: link})
}

// note says which part cannot be shown, if there is an error.
func (p *page) note(what string, err error) {
	if err != nil {
		p.Notes = append(p.Notes, what+": "+err.Error())
	}
}

// fails is note for all of a page, and reports an error.
func (p *page) fails(what string, err error) bool {
	p.note(what, err)
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		p.Number = fault.Code.Number()
	}
	return err != nil
}

func (p *page) next(query url.Values) { p.Next = template.URL(p.Path + "?" + query.Encode()) }

// clip writes what there is of a value, without characters that change how their neighbours are laid out.
func clip(value any) string {
	of := reflect.Indirect(reflect.ValueOf(value))
	if !of.IsValid() {
		return ""
	}
	text := fmt.Sprint(of)
	if at, ok := of.Interface().(time.Time); ok {
		text = at.UTC().Format(time.DateTime)
	}
	short := []rune(text[:min(len(text), 4*mostText)])
	if len(text) > 4*mostText || len(short) > mostText {
		short = append(short[:min(len(short), mostText)], '…')
	}
	return term.Safe(string(short))
}

func linked(connection, sub string) cell {
	return cell{Text: connection, Link: "/connections/" + url.PathEscape(connection), Sub: sub}
}

func (c *Console) overview(ctx context.Context, p *page, _ *http.Request) {
	now := read(c.Metrics)
	p.Title, p.Refresh = "Overview", 15
	p.Hour, p.Peak = c.history.add(now["requests_total"], false), 1
	for _, m := range p.Hour {
		p.Sum.Good, p.Sum.Bad, p.Peak = p.Sum.Good+m.Good, p.Sum.Bad+m.Bad, max(p.Peak, m.Good+m.Bad)
	}
	for _, text := range c.Checks(ctx) {
		p.find("", "%s", text)
	}
	for _, gauge := range [][2]string{{"users_blocked", "Users whom Dataverse's limits keep out for a while: %d"},
		{"breakers_open", "Connections whose environment does not answer, for this process: %d"}} {
		if n := now[gauge[0]][""]; n > 0 {
			p.find("", gauge[1], n)
		}
	}
	t := p.table("Connections and jobs", true, "Which", "How many")
	for _, status := range messages.Statuses() {
		n, link := now["connections"][status], "/connections?status="+status
		t.row(cell{Text: "connections: " + status, Link: link}, cell{Text: n})
		if n > 0 && (status == messages.StatusReauthorizationRequired || status == messages.StatusUnreadable) {
			p.find(link, "Connections that are %s: %d. A person must connect again;", status, n)
		}
	}
	t.row(cell{Text: "jobs that wait", Link: "/jobs"}, cell{Text: now["jobs_pending"][""]})
	t.row(cell{Text: "jobs that this process runs", Link: "/jobs"}, cell{Text: now["jobs_running"][""]})
	t.row(cell{Text: "jobs that failed for good", Sub: "nats stream subjects CRM_DEAD"}, cell{Text: now["dead_jobs"][""]})
	t = p.table("Errors of this process since its start", true, "Code", "Operation", "Requests")
	for _, of := range slices.Sorted(maps.Keys(now["requests_total"])) {
		if code, operation, _ := strings.Cut(of, " "); code != "ok" && now["requests_total"][of] > 0 {
			t.row(cell{Text: code}, cell{Text: operation}, cell{Text: now["requests_total"][of]})
		}
	}
}

// Rows of a page, jobs of one connection, and characters of whatever is shown, at most.
const pageRows, mostJobs, mostText = 50, 20, 300

func (c *Console) connections(ctx context.Context, p *page, r *http.Request) {
	cursor, status := r.FormValue("after"), r.FormValue("status")
	p.Title = "Connections"
	t := p.table("", false, "Connection", "Status", "User", "Token renewed")
	for len(t.Rows) < pageRows && time.Since(p.At) < lookWait { // few may have the status
		var list messages.ConnectionsListReply
		ask := messages.ConnectionsListRequest{PageSize: pageRows, Cursor: cursor}
		if p.fails("The connections cannot be listed", c.Ask(ctx, messages.ConnectionsList, ask, &list)) {
			return
		}
		for _, one := range list.Connections {
			if status == "" || one.Status == status {
				t.row(linked(one.ID, one.EnvironmentURL), cell{Text: one.Status, Sub: one.LastError},
					cell{Text: one.UserFullName, Sub: clip(one.UserName)}, cell{Text: one.RefreshedAt})
			}
		}
		if cursor = list.NextCursor; cursor == "" {
			return
		}
	}
	p.next(url.Values{"status": {status}, "after": {cursor}})
}

func (c *Console) connection(ctx context.Context, p *page, r *http.Request) {
	id := r.PathValue("id")
	p.Title, p.Refresh = "Connection "+clip(id), 30
	var list messages.ConnectionsListReply // it has those that cannot be read, too
	target := messages.Target{Connection: id}
	err := c.Ask(ctx, messages.ConnectionsList, messages.ConnectionsListRequest{Target: target}, &list)
	if err == nil && len(list.Connections) == 0 {
		err = messages.Errorf(messages.ConnectionNotFound, "there is none of this id")
	}
	if p.fails("This connection cannot be shown", err) {
		return
	}
	one := list.Connections[0]
	facts := []any{"Status", one.Status, "Environment", one.EnvironmentURL, "User", one.UserFullName,
		"User name", one.UserName, "Organization", one.OrganizationName, "Directory", one.TenantID,
		"Grant", one.Grant, "Token renewed", one.RefreshedAt}
	limits := &messages.LimitsReply{Breaker: messages.BreakerClosed}
	err = c.Ask(ctx, messages.ConnectionsLimits, messages.ConnectionRequest{Target: target}, limits)
	if p.note("The limits are not known", err); err == nil {
		facts = append(facts, "Calls in flight", fmt.Sprintf("%d of %d", limits.InFlight, limits.Limit),
			"Calls today", limits.CallsToday, "Circuit breaker", limits.Breaker)
	}
	jobs, err := c.Latest(ctx, id)
	p.note("The jobs are not known", err)
	slices.SortFunc(jobs, func(a, b messages.Job) int { return b.QueuedAt.Compare(a.QueuedAt) })
	p.diagnose(one, limits, c.Tables)
	p.commands(one, jobs)
	known := p.table("What is known", false, "What", "Value")
	for fact := range slices.Chunk(facts, 2) {
		known.row(cell{Text: fact[0]}, cell{Text: fact[1]})
	}
	p.jobs("Recent jobs, of those whose ids come last", jobs[:min(len(jobs), mostJobs)])
	t := p.table("Events of 7 days", true, "Event", "Last", "Events")
	asking, cancel := context.WithTimeout(ctx, answerWait/5) // NATS leaves those unanswered who may not ask
	defer cancel()
	all, err := c.Events(asking, id)
	p.note("The events are not known", err)
	for _, event := range all {
		t.row(cell{Text: event.Kind, Sub: event.LastError}, cell{Text: event.At}, cell{Text: event.Kept})
	}
}

// diagnose says why answers do not come.
func (p *page) diagnose(one messages.Connection, limits *messages.LimitsReply, tables []string) {
	if by := status.BlockOf(limits, time.Now()); by != nil {
		p.find("", "Its user is kept out until %s, by %s: requests are throttled, and jobs wait", clip(by.Until), by.By)
	}
	if limits.Breaker != messages.BreakerClosed {
		p.find("", "Its environment did not answer: the circuit breaker of this process is %s", limits.Breaker)
	}
	if limits.Queued > 0 {
		p.find("", "Calls that wait for one of the user's %d places: %d", limits.Limit, limits.Queued)
	}
	switch one.Status {
	case messages.StatusPending:
		p.find("", "Nobody has signed in yet: requests are answered with reauthorization_required")
	case messages.StatusReauthorizationRequired, messages.StatusUnreadable:
		p.find("", "%s: %s", one.Status, cmp.Or(one.LastError, "a person must connect again"))
	case messages.StatusActive:
		for _, table := range tables {
			if !slices.Contains(one.Tables, table) {
				p.find("", "Whoever connected was not asked for %s: these are consent_required until they do it again", table)
			}
		}
	}
}

// commands look further, and mend; none needs quotes. An id that looks like a flag stands behind --.
func (p *page) commands(one messages.Connection, jobs []messages.Job) {
	id := one.ID
	if strings.HasPrefix(id, "-") {
		id = "-- " + id
	}
	p.Commands = []string{"crmbridge connections check " + id, "crmbridge status --watch " + id}
	for _, job := range jobs {
		if job.State == messages.JobFailed && len(p.Commands) < 7 {
			p.Commands = append(p.Commands, "crmbridge jobs retry "+id+" "+job.ID)
		}
	}
	if one.Grant == messages.GrantClientCredentials {
		id = "--grant client_credentials " + id
	}
	if one.EnvironmentURL != "" { // it is not known of one that is unreadable
		p.Commands = append(p.Commands, "crmbridge connect "+id+" "+one.EnvironmentURL)
	}
}

// jobs are those that wait and run, as far as this process knows them.
func (c *Console) jobs(ctx context.Context, p *page, r *http.Request) {
	p.Title, p.Refresh = "Jobs", 15
	var list messages.JobsListReply
	ask := messages.JobsListRequest{PageSize: pageRows, Cursor: r.FormValue("after")}
	if p.fails("The jobs cannot be listed", c.Ask(ctx, messages.JobsList, ask, &list)) {
		return
	}
	p.jobs("What waits and runs", list.Jobs)
	if list.NextCursor != "" {
		p.next(url.Values{"after": {list.NextCursor}})
	}
}

func (p *page) jobs(title string, all []messages.Job) {
	t := p.table(title, true, "Job", "Connection", "State", "Published", "Rows")
	for _, job := range all {
		state := cell{Text: string(job.State)}
		if job.Error != nil {
			state.Sub = string(job.Error.Code) + ": " + job.Error.Message
		}
		t.row(cell{Text: job.ID, Sub: string(job.Operation)}, linked(job.Connection, ""), state,
			cell{Text: job.QueuedAt}, cell{Text: job.Rows})
	}
}
