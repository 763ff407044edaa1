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
	Refresh, Number int  // seconds, and of the HTTP status
	Found           bool // what keeps answers back was looked for
	Findings        []cell
	Known           []string // that keeps nothing back
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
type cell struct{ Text, Link, Sub string }

func (p *page) table(title string, numbers bool, heads ...string) *table {
	p.Tables = append(p.Tables, &table{Title: title, Numbers: numbers, Heads: heads})
	return p.Tables[len(p.Tables)-1]
}

func (t *table) row(cells ...cell) { t.Rows = append(t.Rows, cells) }

func (p *page) find(link, format string, args ...any) {
	p.Findings = append(p.Findings, cell{Text: fmt.Sprintf(format, args...), Link: link})
}

// note says which part cannot be shown, if there is an error, which it reports.
func (p *page) note(what string, err error) bool {
	if err != nil {
		p.Notes = append(p.Notes, what+": "+err.Error())
	}
	return err != nil
}

// fails is note for what a page is about.
func (p *page) fails(what string, err error) bool {
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		p.Number = fault.Code.Number()
	}
	return p.note(what, err)
}

func (p *page) next(query url.Values) { p.Next = template.URL(p.Path + "?" + query.Encode()) }

var shown = template.FuncMap{"clip": clip, "when": when}

const mostText = 300 // characters of whatever is shown

// clip bounds a text, without characters that change how their neighbours are laid out.
func clip(text string) string {
	short := []rune(text[:min(len(text), 4*mostText)])
	if len(text) > 4*mostText || len(short) > mostText {
		short = append(short[:min(len(short), mostText)], '…')
	}
	return term.Safe(string(short))
}

func when(at time.Time) string { return at.UTC().Format(time.DateTime) }

// text writes what may be missing.
func text[T any](of *T, write func(T) string) string {
	if of == nil {
		return ""
	}
	return write(*of)
}

func number[N int | int64 | uint64](n N) cell { return cell{Text: fmt.Sprint(n)} }

func linked(connection, sub string) cell {
	return cell{Text: connection, Link: "/connections/" + url.PathEscape(connection), Sub: sub}
}

func (c *Console) overview(ctx context.Context, p *page, _ *http.Request) {
	now := read(c.Metrics)
	p.Title, p.Refresh, p.Found = "Overview", 15, true
	p.Hour, p.Peak = c.history.add(now["requests_total"], false), 1
	for _, m := range p.Hour {
		p.Sum.Good, p.Sum.Bad, p.Peak = p.Sum.Good+m.Good, p.Sum.Bad+m.Bad, max(p.Peak, m.Good+m.Bad)
	}
	failed, known := c.Checks(ctx)
	for _, text := range failed {
		p.find("", "%s", text)
	}
	p.Known = known
	for _, gauge := range [][2]string{{"users_blocked", "Users whom Dataverse's limits keep out for a while: %d"},
		{"breakers_open", "Connections whose environment does not answer, for this process: %d"}} {
		if n := now[gauge[0]][""]; n > 0 {
			p.find("", gauge[1], n)
		}
	}
	t := p.table("Connections and jobs", true, "Which", "How many")
	for _, status := range messages.Statuses() {
		n, link := now["connections"][status], "/connections?status="+status
		t.row(cell{Text: "connections: " + status, Link: link}, number(n))
		if n > 0 && (status == messages.StatusReauthorizationRequired || status == messages.StatusUnreadable) {
			p.find(link, "Connections that are %s: %d. A person must connect again;", status, n)
		}
	}
	t.row(cell{Text: "jobs that wait", Link: "/jobs"}, number(now["jobs_pending"][""]))
	t.row(cell{Text: "jobs that this process runs", Link: "/jobs"}, number(now["jobs_running"][""]))
	t.row(cell{Text: "jobs that failed for good", Sub: "each is a subject of 'nats stream subjects CRM_DEAD'"},
		number(now["dead_jobs"][""]))
	t = p.table("Errors of this process since its start", true, "Code", "Operation", "Requests")
	for _, of := range slices.Sorted(maps.Keys(now["requests_total"])) {
		if code, operation, _ := strings.Cut(of, " "); code != "ok" && now["requests_total"][of] > 0 {
			t.row(cell{Text: code}, cell{Text: operation}, number(now["requests_total"][of]))
		}
	}
}

// Rows of a page; connections that are looked at for those of one status, if there is the time;
// jobs of one connection.
const pageRows, mostLooked, mostJobs = 50, 20_000, 20

func (c *Console) connections(ctx context.Context, p *page, r *http.Request) {
	cursor, status := r.FormValue("after"), r.FormValue("status")
	p.Title = "Connections"
	t := p.table("", false, "Connection", "Status", "User", "Token renewed")
	for looked := 0; len(t.Rows) < pageRows && looked < mostLooked && time.Since(p.At) < answerWait/2; looked += pageRows {
		var list messages.ConnectionsListReply
		ask := messages.ConnectionsListRequest{PageSize: pageRows, Cursor: cursor}
		err := c.Ask(ctx, messages.ConnectionsList, ask, &list)
		if p.fails("The connections cannot be listed", err) {
			return
		}
		for _, one := range list.Connections {
			if status == "" || one.Status == status {
				t.row(linked(one.ID, one.EnvironmentURL), cell{Text: one.Status, Sub: one.LastError},
					cell{Text: text(one.UserFullName, clip), Sub: text(one.UserName, clip)},
					cell{Text: text(one.RefreshedAt, when)})
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
	p.Title, p.Refresh, p.Found = "Connection "+clip(id), 30, true
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
	facts := []string{"Status", one.Status, "Environment", one.EnvironmentURL, "User", text(one.UserFullName, clip),
		"User name", text(one.UserName, clip), "Organization", text(one.OrganizationName, clip), "Directory", one.TenantID,
		"Grant", one.Grant, "Token renewed", text(one.RefreshedAt, when)}
	limits := &messages.LimitsReply{Breaker: messages.BreakerClosed}
	err = c.Ask(ctx, messages.ConnectionsLimits, messages.ConnectionRequest{Target: target}, limits)
	if !p.note("The limits are not known", err) {
		facts = append(facts, "Calls in flight", fmt.Sprintf("%d of %d", limits.InFlight, limits.Limit),
			"Calls today", fmt.Sprint(limits.CallsToday), "Circuit breaker", limits.Breaker)
	}
	jobs, err := c.Latest(ctx, id)
	p.note("The jobs are not known", err)
	slices.SortFunc(jobs, func(a, b messages.Job) int { return b.QueuedAt.Compare(a.QueuedAt) })
	jobs = jobs[:min(len(jobs), mostJobs)]
	p.diagnose(one, limits, c.Tables)
	p.commands(one, jobs)
	known := p.table("What is known", false, "What", "Value")
	for fact := range slices.Chunk(facts, 2) {
		known.row(cell{Text: fact[0]}, cell{Text: fact[1]})
	}
	p.jobs("Recent jobs, of those whose ids come last", jobs)
	t := p.table("Events of 7 days", true, "Event", "Last", "Events")
	asking, cancel := context.WithTimeout(ctx, answerWait/5) // NATS leaves those unanswered who may not ask
	defer cancel()
	all, err := c.Events(asking, id)
	p.note("The events are not known", err)
	for _, event := range all {
		t.row(cell{Text: event.Kind, Sub: event.LastError}, cell{Text: when(event.At)}, number(event.Kept))
	}
}

// diagnose says why answers do not come.
func (p *page) diagnose(one messages.Connection, limits *messages.LimitsReply, tables []string) {
	if by := status.BlockOf(limits, time.Now()); by != nil {
		p.find("", "Its user is kept out until %s, by %s: requests are throttled, and jobs wait", when(by.Until), by.By)
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

// commands look further, and mend. Ids and the origins of environments need no quotes; an id that
// looks like a flag stands behind --.
func (p *page) commands(one messages.Connection, jobs []messages.Job) {
	id := one.ID
	if strings.HasPrefix(id, "-") {
		id = "-- " + id
	}
	p.Commands = []string{"crmbridge connections check " + id, "crmbridge status --watch " + id}
	switch {
	case one.Status == messages.StatusUnreadable: // nor is its environment known
	case one.Grant == messages.GrantClientCredentials:
		p.Commands = append(p.Commands, "crmbridge connect --grant client_credentials "+id+" "+one.EnvironmentURL)
	default:
		p.Commands = append(p.Commands, "crmbridge connect "+id+" "+one.EnvironmentURL)
	}
	for _, job := range jobs {
		if job.State == messages.JobFailed && len(p.Commands) < 8 {
			p.Commands = append(p.Commands, "crmbridge jobs retry "+id+" "+job.ID)
		}
	}
}

// jobs are those that wait and run, as far as this process knows them.
func (c *Console) jobs(ctx context.Context, p *page, r *http.Request) {
	p.Title, p.Refresh = "Jobs", 15
	var list messages.JobsListReply
	err := c.Ask(ctx, messages.JobsList, messages.JobsListRequest{PageSize: pageRows, Cursor: r.FormValue("after")}, &list)
	if p.fails("The jobs cannot be listed", err) {
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
			cell{Text: when(job.QueuedAt)}, number(job.Rows))
	}
}
