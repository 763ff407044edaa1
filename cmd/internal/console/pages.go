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
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/messages"
)

// A view is what a page shows.
type view struct {
	Page, Title string
	At          time.Time
	Refresh     int // seconds
	Findings    []finding
	Notes       []string

	State    *status.State
	Process  *status.Process
	Charts   []chart
	Requests []asked
	Checks   []Check
	Failures []Failure
	Failed   int // jobs, for good

	Prefix, Status string // that were searched for
	Statuses       []string
	Connections    []messages.Connection
	Connection     *messages.Connection
	Limits         *messages.LimitsReply
	Events         []events.Latest
	Jobs           []messages.Job
	Next           string // query of the next page
	Commands       []string
}

// A finding is something that keeps answers back, and the page that tells more.
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
	"text": func(s *string) string {
		if s == nil {
			return ""
		}
		return clip(*s)
	}}

// clip bounds a text, without characters that change how their neighbours are laid out.
func clip(text string) string {
	if short := []rune(text[:min(len(text), 4*mostOfText)]); len(short) > mostOfText || len(text) > 4*mostOfText {
		text = string(short[:min(len(short), mostOfText)]) + "…"
	}
	return term.Safe(strings.ToValidUTF8(text, "\uFFFD"))
}

// latest is the state of the fleet as it was found last. It is found out while somebody looks,
// once for all, and not often where that takes long.
type latest struct {
	mu    sync.Mutex
	state *status.State
	err   error
	after time.Time     // when it is found out again
	done  chan struct{} // not nil while it is
}

const (
	stateEvery = 2 * time.Second
	stateCalm  = 20 // so many times as long as it took
	stateMost  = 30 * time.Second
	stateOld   = time.Minute            // after that, and is not shown any more
	stateWait  = 100 * time.Millisecond // for which a page waits
)

// fleet is the state of the fleet; nil, with no error, while it is found out.
func (c *Console) fleet(ctx context.Context) (*status.State, error) {
	l := &c.state
	l.mu.Lock()
	begun := time.Now()
	if l.done == nil && begun.After(l.after) && c.life.Err() == nil {
		l.done = make(chan struct{})
		c.work.Go(func() {
			ctx, cancel := context.WithTimeout(c.life, stateMost)
			defer cancel()
			var state *status.State
			err := dynamics.Guard(func() (err error) { state, err = c.Look(ctx, ""); return err })()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.state, l.err, l.after = state, err, time.Now().Add(max(stateEvery, stateCalm*time.Since(begun)))
			close(l.done)
			l.done = nil
		})
	}
	done := l.done
	l.mu.Unlock()
	if done != nil {
		ctx, cancel := context.WithTimeout(ctx, stateWait)
		defer cancel()
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if begun.Sub(l.after) > stateOld {
		return nil, nil
	}
	return l.state, l.err
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request) {
	v := &view{Page: "overview", Title: "Overview", Refresh: 15, Failures: c.Failures.of("")}
	v.Checks = c.Checks(r.Context())
	for _, check := range v.Checks {
		if check.Text != "" {
			v.find("%s: %s", check.Name, check.Text)
		}
	}
	now := read(c.Metrics)
	v.Charts, v.Requests, v.Failed = c.history.charts(now.sample()), now.rows(), int(now.gauges["dead_jobs"])
	state, err := c.fleet(r.Context())
	v.note("The fleet", err)
	if v.State = state; state == nil && err == nil {
		v.Refresh = 2
		v.Notes = append(v.Notes, "The fleet's connections and jobs are being counted; the page loads again.")
	} else if state != nil {
		for _, of := range []struct{ status, text string }{
			{messages.StatusReauthorizationRequired, "A person must connect again, for %d of the connections:"},
			{messages.StatusUnreadable, "The records of %d connections cannot be read:"}} {
			if n := state.Connections[of.status]; n > 0 {
				v.Findings = append(v.Findings, finding{fmt.Sprintf(of.text, n), "/connections?status=" + of.status})
			}
		}
		if n := max(len(state.Blocked), int(now.gauges["users_blocked"])); n > 0 {
			v.find("Throttled users: %d. Dataverse's limits, or the customers' own, keep them out for a while", n)
		}
		for i := range state.Processes {
			v.Process = &state.Processes[i]
		}
		for _, unknown := range state.Unknown {
			v.Notes = append(v.Notes, "Not known: "+unknown)
		}
	}
	if n := now.gauges["breakers_open"]; n > 0 {
		v.find("Environments that do not answer: %.0f. This process's circuit breakers are open", n)
	}
	if s := now.gauges["refresh_overdue_seconds"]; s > 600 {
		v.find("Tokens are renewed late, one by %s", time.Duration(s)*time.Second)
	}
	c.write(w, http.StatusOK, v)
}

const (
	pageRows   = 50
	mostLooked = 2000 // connections, for those of one status
	mostJobs   = 20   // of one connection
)

func (c *Console) connections(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := &view{Page: "connections", Title: "Connections", Prefix: strings.TrimSpace(q.Get("prefix")),
		Status: q.Get("status"), Statuses: messages.Statuses()}
	cursor := q.Get("after")
	switch {
	case v.Prefix != "" && !messages.ValidConnection(v.Prefix):
		v.Notes = append(v.Notes, "An id has 1 to 64 letters, digits, underscores and hyphens.")
		c.write(w, http.StatusBadRequest, v)
		return
	case v.Prefix != "" && cursor == "":
		last := len(v.Prefix) - 1 // behind what sorts before all that begin so
		cursor = c.Cursor(v.Prefix[:last] + string(v.Prefix[last]-1) + "\xff")
	}
	code := http.StatusOK
	for looked := 0; len(v.Connections) < pageRows && looked < mostLooked; looked += pageRows {
		page, err := c.Connections(r.Context(), messages.ConnectionsListRequest{PageSize: pageRows, Cursor: cursor})
		if err != nil {
			v.note("The connections cannot be listed", err)
			code = http.StatusServiceUnavailable
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
	if cursor != "" && code == http.StatusOK {
		v.Next = url.Values{"prefix": {v.Prefix}, "status": {v.Status}, "after": {cursor}}.Encode()
	}
	c.write(w, code, v)
}

func (c *Console) connection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	v := &view{Page: "connection", Title: "Connection " + clip(id), Refresh: 30, Failures: c.Failures.of(id)}
	var err error
	if v.Connection, err = c.Asker.Connection(r.Context(), id); err != nil {
		v.note("This connection cannot be shown", err)
		code := http.StatusServiceUnavailable
		if fault, ok := errors.AsType[*messages.Error](err); ok {
			code = fault.Code.Number()
		}
		c.write(w, code, v)
		return
	}
	v.Limits, err = c.Limits(r.Context(), id)
	v.note("The limits are not known", err)
	v.Events, err = c.Events(r.Context(), id)
	v.note("The events are not known", err)
	jobs, err := c.Jobs(r.Context(), messages.JobsListRequest{Target: messages.Target{Connection: id},
		PageSize: messages.MaxJobsPageSize})
	if v.note("The jobs are not known", err); err == nil {
		slices.SortFunc(jobs.Jobs, func(a, b messages.Job) int { return b.QueuedAt.Compare(a.QueuedAt) })
		v.Jobs = jobs.Jobs[:min(len(jobs.Jobs), mostJobs)]
		if jobs.NextCursor != "" {
			v.Notes = append(v.Notes, fmt.Sprintf("There are more than %d jobs: those are looked at whose ids come first.",
				messages.MaxJobsPageSize))
		}
	}
	v.diagnose(c.Tables)
	c.write(w, http.StatusOK, v)
}

// diagnose says why answers do not come, and with which commands that is looked at and mended.
func (v *view) diagnose(tables []string) {
	one := v.Connection
	switch one.Status {
	case messages.StatusPending:
		v.find("Nobody has signed in yet: requests are answered with reauthorization_required")
	case messages.StatusReauthorizationRequired, messages.StatusUnreadable:
		v.find("%s: %s", one.Status, cmp.Or(clip(one.LastError), "a person must connect again"))
	case messages.StatusActive:
		for _, table := range tables {
			if !slices.Contains(one.Tables, table) {
				v.find("The person who connected was not asked for %s: that is consent_required until they connect again", table)
			}
		}
	}
	if l := v.Limits; l != nil {
		if blocked := status.BlockOf(l, time.Now()); blocked != nil {
			v.find("Its user is kept out until %s UTC, by %s: requests are throttled, and jobs wait",
				blocked.Until.UTC().Format("15:04:05"), blocked.By)
		}
		if l.Breaker != "" && l.Breaker != string(dynamics.BreakerClosed) {
			v.find("Its environment did not answer: the circuit breaker of this process is %s", l.Breaker)
		}
		if l.Queued > 0 {
			v.find("Calls that wait for one of the user's %[2]d places: %[1]d", l.Queued, l.Limit)
		}
	}
	v.Commands = append(v.Commands, command("crmbridge connections check", one.ID),
		command("crmbridge status --watch", one.ID))
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
		code = http.StatusServiceUnavailable
	} else if v.Jobs = page.Jobs; page.NextCursor != "" {
		v.Next = url.Values{"after": {page.NextCursor}}.Encode()
	}
	c.write(w, code, v)
}
