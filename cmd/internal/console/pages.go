package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/messages"
)

// A view is what a page shows.
type view struct {
	Page, Title    string
	Prefix, Status string       // that were searched for
	Next           template.URL // the next page; it is encoded here, for a template encodes a query as a whole
	At             time.Time
	Refresh        int // seconds
	Failed         int // jobs, for good
	Notes          []string
	Findings       []finding
	Commands       []string

	State       *status.State
	Charts      []chart
	Requests    []asked
	Checks      []Check
	Failures    []Failure
	Connections []messages.Connection
	Connection  *messages.Connection
	Limits      *messages.LimitsReply
	Events      []events.Latest
	Jobs        []messages.Job
}

// A finding is something that keeps answers back, and where there is more of it.
type finding struct{ Text, Link string }

func (v *view) find(format string, args ...any) {
	v.Findings = append(v.Findings, finding{Text: fmt.Sprintf(format, args...)})
}

func (v *view) note(what string, err error) {
	if err != nil {
		v.Notes = append(v.Notes, what+": "+err.Error())
	}
}

// shown is how templates write what others wrote: all of it goes through clip.
var shown = template.FuncMap{"clip": clip, "join": strings.Join, "escape": url.PathEscape,
	"statuses": messages.Statuses, "text": func(s *string) string {
		if s == nil {
			return ""
		}
		return clip(*s)
	}}

const mostText = 300 // characters of whatever is shown

// clip bounds a text, without characters that change how their neighbours are laid out.
func clip(text string) string {
	short := []rune(strings.ToValidUTF8(text[:min(len(text), 4*mostText)], "\uFFFD"))
	if len(text) > 4*mostText || len(short) > mostText {
		short = append(short[:min(len(short), mostText)], '…')
	}
	return term.Safe(string(short))
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request) {
	v := &view{Page: "overview", Title: "Overview", Refresh: 15, Failures: c.Failures.of(""),
		Checks: c.Checks(r.Context())}
	for _, check := range v.Checks {
		if check.Text != "" {
			v.find("%s: %s", check.Name, check.Text)
		}
	}
	now := read(c.Metrics)
	c.mu.Lock()
	v.Charts = charts(c.hour, now.counts)
	c.mu.Unlock()
	v.Requests, v.Failed = now.rows(), int(now.gauges["dead_jobs"])
	v.State = &status.State{Connections: now.statuses, Jobs: status.JobCounts{
		Queued: int(now.gauges["jobs_pending"]), Running: int(now.gauges["jobs_running"])}}
	v.State.Processes, _ = c.Processes(r.Context()) // the checks say where there is none yet
	for status, text := range map[string]string{
		messages.StatusReauthorizationRequired: "A person must connect again, for %d of the connections:",
		messages.StatusUnreadable:              "The records of %d connections cannot be read:"} {
		if n := now.statuses[status]; n > 0 {
			v.Findings = append(v.Findings, finding{fmt.Sprintf(text, n), "/connections?status=" + status})
		}
	}
	if n := now.gauges["users_blocked"]; n > 0 {
		v.find("Users who are throttled: %.0f. Dataverse's limits keep them out for a while", n)
	}
	if n := now.gauges["breakers_open"]; n > 0 {
		v.find("Environments that do not answer: %.0f. This process's circuit breakers are open", n)
	}
	c.write(w, http.StatusOK, v)
}

const (
	pageRows   = 50
	mostLooked = 500 // connections, for those of one status
	mostJobs   = 20  // of one connection
)

func (c *Console) connections(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := &view{Page: "connections", Title: "Connections", Prefix: strings.TrimSpace(q.Get("prefix")),
		Status: q.Get("status")}
	code, cursor := http.StatusOK, q.Get("after")
	switch last := len(v.Prefix) - 1; {
	case v.Prefix != "" && !messages.ValidConnection(v.Prefix):
		v.note("Id begins with", errors.New("an id has 1 to 64 letters, digits, underscores and hyphens"))
		c.write(w, http.StatusBadRequest, v)
		return
	case v.Prefix != "" && cursor == "": // behind what sorts before all that begin so
		cursor = c.Cursor(v.Prefix[:last] + string(v.Prefix[last]-1) + "\xff")
	}
	for looked := 0; len(v.Connections) < pageRows && looked < mostLooked; looked += pageRows {
		page, err := c.Connections(r.Context(), messages.ConnectionsListRequest{PageSize: pageRows, Cursor: cursor})
		if v.note("The connections cannot be listed", err); err != nil {
			code, cursor = numberOf(err), ""
			break
		}
		cursor = page.NextCursor
		for _, one := range page.Connections {
			if !strings.HasPrefix(one.ID, v.Prefix) {
				cursor = ""
			} else if v.Status == "" || one.Status == v.Status {
				v.Connections = append(v.Connections, one)
			}
		}
		if cursor == "" {
			break
		}
	}
	if cursor != "" {
		v.Next = next("/connections", url.Values{"prefix": {v.Prefix}, "status": {v.Status}, "after": {cursor}})
	}
	c.write(w, code, v)
}

func next(path string, query url.Values) template.URL {
	return template.URL(path + "?" + query.Encode())
}

// numberOf is the status of a page that cannot be shown.
func numberOf(err error) int {
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		return fault.Code.Number()
	}
	return http.StatusServiceUnavailable
}

func (c *Console) connection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	v := &view{Page: "connection", Title: "Connection " + clip(id), Refresh: 30, Failures: c.Failures.of(id)}
	var err error
	if v.Connection, err = c.Asker.Connection(r.Context(), id); err != nil {
		v.note("This connection cannot be shown", err)
		c.write(w, numberOf(err), v)
		return
	}
	v.Limits, err = c.Limits(r.Context(), id)
	v.note("The limits are not known", err)
	v.Events, err = c.events(r.Context(), id)
	v.note("The events are not known", err)
	jobs, err := c.Jobs(r.Context(), messages.JobsListRequest{Target: messages.Target{Connection: id},
		PageSize: messages.MaxJobsPageSize})
	if v.note("The jobs are not known", err); err == nil {
		slices.SortFunc(jobs.Jobs, func(a, b messages.Job) int { return b.QueuedAt.Compare(a.QueuedAt) })
		v.Jobs = jobs.Jobs[:min(len(jobs.Jobs), mostJobs)]
		if jobs.NextCursor != "" {
			v.note("Jobs", fmt.Errorf("of more than %d, those were looked at whose ids come first", len(jobs.Jobs)))
		}
	}
	v.diagnose(c.Tables)
	c.write(w, http.StatusOK, v)
}

// events waits for a part of the page's time: who may not read the stream gets no answer from NATS.
func (c *Console) events(ctx context.Context, id string) ([]events.Latest, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait/5)
	defer cancel()
	return c.Events(ctx, id)
}

// diagnose says why answers do not come, and with which commands that is looked at and mended.
func (v *view) diagnose(tables []string) {
	one := v.Connection
	switch one.Status {
	case messages.StatusPending:
		v.find("Nobody has signed in yet: requests are answered with reauthorization_required")
	case messages.StatusReauthorizationRequired, messages.StatusUnreadable:
		v.find("%s: %s", one.Status, cmp.Or(one.LastError, "a person must connect again"))
	case messages.StatusActive:
		for _, table := range tables {
			if !slices.Contains(one.Tables, table) {
				v.find("Whoever connected was not asked for %s, which are consent_required until they connect again", table)
			}
		}
	}
	if l := v.Limits; l != nil {
		if blocked := status.BlockOf(l, time.Now()); blocked != nil {
			v.find("Its user is kept out until %s UTC, by %s: requests are throttled, and jobs wait",
				blocked.Until.UTC().Format(time.TimeOnly), blocked.By)
		}
		if l.Breaker != string(dynamics.BreakerClosed) {
			v.find("Its environment did not answer: the circuit breaker of this process is %s", l.Breaker)
		}
		if l.Queued > 0 {
			v.find("Calls that wait for one of the user's %d places: %d", l.Limit, l.Queued)
		}
	}
	v.Commands = []string{command("crmbridge connections check", one.ID), command("crmbridge status --watch", one.ID)}
	if one.Status != messages.StatusUnreadable && one.Grant != messages.GrantClientCredentials {
		v.Commands = append(v.Commands, command("crmbridge connect", one.ID, one.EnvironmentURL))
	}
	for _, job := range v.Jobs {
		if job.State == messages.JobFailed && len(v.Commands) < 8 {
			v.Commands = append(v.Commands, command("crmbridge jobs retry", job.Connection, job.ID))
		}
	}
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// command is a line for a shell. Arguments that look like flags stand behind --.
func command(line string, args ...string) string {
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		line += " --"
	}
	for _, arg := range args {
		if arg = clip(arg); !plain.MatchString(arg) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}

func (c *Console) jobs(w http.ResponseWriter, r *http.Request) {
	v := &view{Page: "jobs", Title: "Jobs", Refresh: 15, Failed: int(read(c.Metrics).gauges["dead_jobs"])}
	code := http.StatusOK
	page, err := c.Jobs(r.Context(), messages.JobsListRequest{PageSize: pageRows, Cursor: r.URL.Query().Get("after")})
	if v.note("The jobs cannot be listed", err); err != nil {
		code = numberOf(err)
	} else if v.Jobs = page.Jobs; page.NextCursor != "" {
		v.Next = next("/jobs", url.Values{"after": {page.NextCursor}})
	}
	c.write(w, code, v)
}
