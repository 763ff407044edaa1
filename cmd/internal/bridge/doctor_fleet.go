package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// checkFleet asks the processes that run for their versions, and one of them about the
// connection.
func (d *Doctor) checkFleet(ctx context.Context) {
	const stranger = "this NATS user may make no requests, which is right for serve's own; give one that may with " +
		"--ask-nats-url or --ask-nats-context"
	nc, end, refused, err := d.asker()
	if err != nil {
		d.failed("fleet", "the user that asks cannot connect to NATS: "+natsCause(err).Error(), "mend --ask-nats-url, "+
			"--ask-nats-creds or --ask-nats-context")
		return
	}
	if nc == nil {
		d.skipped("fleet", "not looked at: NATS cannot be asked")
		d.skipConnection("NATS cannot be asked")
		return
	}
	defer end()
	asked, denied := refused.within(ctx)
	processes, err := Fleet(asked, nc, d.processes)
	if denied() {
		d.skipped("fleet", "not looked at: "+stranger)
		asked, denied = refused.within(ctx)
		d.checkConnection(asked, messages.NewClient(nc), func() bool {
			no := denied()
			if no {
				d.skipConnection(stranger)
			}
			return no
		})
		return
	}
	versions := map[string]int{}
	for _, p := range processes {
		versions[p.Version]++
	}
	switch {
	case err != nil:
		d.failed("fleet", "processes are not found out: "+cause(err), "crmbridge status")
	case len(processes) == 0 && d.processes > 0:
		d.failed("fleet", fmt.Sprintf("processes at this Redis: %d, and none answers at this NATS", d.processes),
			"give all processes the same NATS_URL and REDIS_URL, and look at /readyz?verbose of each")
		d.skipConnection("no crmbridge answers")
		return
	case len(processes) == 0 && d.Connection != "":
		d.failed("fleet", "no crmbridge answers", "start one: crmbridge serve")
		d.skipConnection("no crmbridge answers")
		return
	case len(processes) == 0:
		d.passed("fleet", "no crmbridge runs")
	case len(versions) > 1:
		d.warned("fleet", "processes run different versions: "+versionWords(versions),
			"replace the older ones; see deploy/README.md#upgrading")
	case len(processes) < d.processes:
		d.warned("fleet", fmt.Sprintf("processes at this Redis: %d, and at this NATS: %d", d.processes, len(processes)),
			"crmbridge status, and /readyz?verbose of each process")
	default:
		d.passed("fleet", "%s", versionWords(versions))
	}
	d.checkConnection(ctx, messages.NewClient(nc), func() bool { return false })
}

func versionWords(versions map[string]int) string {
	var words []string
	for _, version := range sortedKeys(versions) {
		words = append(words, fmt.Sprintf("%d of version %s", versions[version], version))
	}
	return strings.Join(words, ", ")
}

// asker connects who asks; nil where nobody can.
func (d *Doctor) asker() (nc *nats.Conn, end func(), refused *refusals, err error) {
	refused = &refusals{}
	more := []nats.Option{nats.Timeout(doctorWait), nats.NoReconnect(), nats.ErrorHandler(refused.hear)}
	if d.Asker.Context != "" {
		if nc, err = d.Asker.byContext(more...); err != nil {
			return nil, nil, nil, err
		}
		return nc, nc.Close, refused, nil
	}
	settings := d.config.NATS
	if d.Asker.URL != "" || d.Asker.Creds != "" {
		settings.InboxPrefix = d.Asker.InboxPrefix
		if d.Asker.URL != "" {
			settings.URL, settings.Creds = d.Asker.URL, d.Asker.Creds
		} else {
			settings.Creds = d.Asker.Creds
		}
	} else {
		if d.nats == nil {
			return nil, nil, nil, nil
		}
		if settings.InboxPrefix == "" {
			settings.InboxPrefix = consumerInboxes
		}
	}
	nc, err = nats.Connect(settings.URL, append(natsOptions(settings, "crmbridge doctor"), more...)...)
	if err != nil {
		return nil, nil, nil, err
	}
	return nc, nc.Close, refused, nil
}

// byContext connects as the commands that ask do.
func (a Asker) byContext(more ...nats.Option) (*nats.Conn, error) {
	found, err := readContext(a.Context)
	if err != nil {
		return nil, fmt.Errorf("the context %q: %w", a.Context, err)
	}
	own := ClientNATS{NATS: NATS{URL: a.URL, Creds: a.Creds, InboxPrefix: a.InboxPrefix}}
	return own.connectAs(found, "crmbridge doctor", more...)
}

func (d *Doctor) skipConnection(why string) {
	if d.Connection != "" {
		d.skipped("connection", "not looked at: "+why)
	}
}

// checkConnection tries what the connection's user may, and looks at its limits. Where denied
// says that NATS does not permit it, there is nothing more to say.
func (d *Doctor) checkConnection(ctx context.Context, ask *messages.Client, denied func() bool) {
	if d.Connection == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*doctorWait)
	defer cancel()
	checks, err := ask.Check(ctx, messages.CheckRequest{Target: messages.Target{Connection: d.Connection}})
	if err != nil && denied() {
		return
	}
	if err != nil {
		d.failed("connection", err.Error(), connectionRemedy(d.Connection, err))
		return
	}
	for _, check := range checks {
		name := "connection." + check.Name
		remedy := check.HowToFix
		if remedy == "" {
			remedy = "crmbridge connections check " + d.Connection
		}
		switch {
		case check.OK && check.Detail == "":
			d.passed(name, "%s", check.Depth)
		case check.OK:
			d.warned(name, check.Detail, remedy+"; see deploy/README.md#privileges")
		default:
			d.failed(name, check.Detail, remedy)
		}
		if check.Name == messages.CheckToken && !check.OK {
			d.skipped("connection", "the other checks need a token")
			return
		}
	}
	d.checkLimits(ctx, ask)
}

func (d *Doctor) checkLimits(ctx context.Context, ask *messages.Client) {
	const page = "deploy/README.md#dataverses-limits"
	limits, err := ask.Limits(ctx, d.Connection)
	switch {
	case err != nil:
		d.warned("connection.limits", err.Error(), "crmbridge connections limits "+d.Connection)
	case limits.BlockedUntil != nil:
		d.warned("connection.limits", fmt.Sprintf("Dataverse takes no call of this user until %s",
			limits.BlockedUntil.UTC().Format(time.RFC3339)), "wait, and ask less at once; see "+page)
	case limits.DailyCalls > 0 && limits.CallsToday >= limits.DailyCalls:
		d.warned("connection.limits",
			fmt.Sprintf("the %d calls that the customer allows a day are used up until midnight UTC",
				limits.DailyCalls), "agree on more with the customer: crmbridge connect --daily-calls; see "+page)
	case limits.Breaker != messages.BreakerClosed:
		d.warned("connection.limits", "the environment has not answered the last calls", "see "+page)
	default:
		d.passed("connection.limits", "%d of %d calls in flight, %d today", limits.InFlight, limits.Limit, limits.CallsToday)
	}
}

func connectionRemedy(id string, err error) string {
	fault, _ := errors.AsType[*messages.Error](err)
	switch {
	case fault == nil:
		return "crmbridge connections check " + id
	case fault.Code == messages.ConnectionNotFound:
		return "crmbridge connections list, or make it: crmbridge connect " + id + " URL"
	case fault.Code == messages.ReauthorizationRequired:
		return "a person connects: crmbridge connect " + id + " URL"
	}
	return "crmbridge connections get " + id
}
