package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// A Result is what came of one check of [Doctor].
type Result string

// The results of a check.
const (
	Passed  Result = "ok"
	Warned  Result = "warning" // crmbridge works, and somebody should look at it
	Failed  Result = "failed"
	Skipped Result = "skipped" // another check says why
)

// A Finding is one check of [Doctor] with what came of it.
type Finding struct {
	Check  string `json:"check"`
	Result Result `json:"result"`
	Detail string `json:"detail,omitzero"`
	Remedy string `json:"remedy,omitzero"` // a command or a page, for what is not ok
}

// Doctor looks at everything that serve needs with the settings of serve. It changes nothing,
// and its findings hold no secret.
type Doctor struct {
	Settings Settings
	// Asker is how requests are made: serve's own NATS user may make none, where it has no
	// more rights than it needs. Where nothing is given it is asked as serve's.
	Asker Asker
	// Connection is checked besides; "" for none.
	Connection string
	// Say gets each finding as it is found.
	Say func(Finding)

	config Config
	faulty []string // variables with a fault
	redis  redis.UniversalClient
	store  *tokens.Store
	nats   *nats.Conn
	// processes is how many crmbridges run as far as Redis knows, -1 where it does not.
	processes int
	// sample is a connection that there is; its id is "" where none is active.
	sample tokens.Connection
}

// An Asker is a NATS user who may make requests, such as the operator of deploy/nats.conf.
type Asker struct {
	URL         string `name:"ask-nats-url" env:"ASK_NATS_URL" placeholder:"URL" help:"NATS with a user who may ask, for versions and for a connection's own checks: serve's own user may have no right to. Default: NATS_URL."`
	Creds       string `name:"ask-nats-creds" env:"ASK_NATS_CREDS" placeholder:"FILE" help:"NATS credentials file of that user."`
	InboxPrefix string `name:"ask-nats-inbox-prefix" env:"ASK_NATS_INBOX_PREFIX" placeholder:"SUBJECT" help:"Prefix of that user's inboxes."`
	Context     string `name:"ask-nats-context" env:"ASK_NATS_CONTEXT" placeholder:"NAME" predictor:"context" help:"Context of the nats CLI that has that user, for what the three flags above do not give."`
}

const settingsPage = "deploy/README.md#settings"

// doctorWait bounds one exchange of the doctor with somebody.
const doctorWait = 3 * time.Second

// Run makes all checks, and reports whether none failed. What cannot be looked at because of
// another finding is skipped, so that one fault is one finding.
func (d *Doctor) Run(ctx context.Context) (well bool) {
	well = true
	say := d.Say
	d.Say = func(f Finding) {
		well = well && f.Result != Failed
		f.Detail, f.Remedy = oneLine(f.Detail), oneLine(f.Remedy)
		say(f)
	}
	d.processes = -1
	defer d.close()
	d.readSettings()
	d.checkRedis(ctx)
	d.checkKeyset(ctx)
	d.checkEntra(ctx)
	d.checkNATS(ctx)
	d.checkPublicURL(ctx)
	d.checkFleet(ctx)
	return well
}

func (d *Doctor) close() {
	if d.nats != nil {
		d.nats.Close()
	}
	if d.redis != nil {
		_ = d.redis.Close() // nothing is in flight
	}
}

func (d *Doctor) passed(check, detail string, args ...any) {
	d.Say(Finding{Check: check, Result: Passed, Detail: fmt.Sprintf(detail, args...)})
}

func (d *Doctor) warned(check, detail, remedy string) {
	d.Say(Finding{Check: check, Result: Warned, Detail: detail, Remedy: remedy})
}

func (d *Doctor) failed(check, detail, remedy string) {
	d.Say(Finding{Check: check, Result: Failed, Detail: detail, Remedy: remedy})
}

func (d *Doctor) skipped(check, why string) {
	d.Say(Finding{Check: check, Result: Skipped, Detail: why})
}

// readSettings reads them as serve does. A variable that is missing and one that looks like
// it are one finding.
func (d *Doctor) readSettings() {
	var err error
	d.config, err = d.Settings.Config()
	typos := Mistyped()
	faults := faultsOf(err)
	for _, fault := range faults {
		name, detail, _ := strings.Cut(fault, ": ")
		d.faulty = append(d.faulty, strings.TrimSuffix(name, "_FILE"))
		remedy := fmt.Sprintf("mend %s; see %s", name, settingsPage)
		if at := slices.IndexFunc(typos, func(t Typo) bool { return t.Means == name }); at >= 0 {
			detail = "is missing, and " + typos[at].String()
			remedy = fmt.Sprintf("rename %s to %s; see %s", typos[at].Set, name, settingsPage)
			typos = slices.Delete(typos, at, at+1)
		}
		d.failed("settings", name+" "+detail, remedy)
	}
	for _, typo := range typos {
		d.warned("settings", typo.String(), fmt.Sprintf("rename %s to %s, or remove it; see %s", typo.Set, typo.Means,
			settingsPage))
	}
	if len(faults) == 0 && len(typos) == 0 {
		d.passed("settings", "all can be used")
	}
}

// faultsOf are the lines of the error of [Settings.Config].
func faultsOf(err error) []string {
	if err == nil {
		return nil
	}
	var all []string
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range many.Unwrap() {
			all = append(all, one.Error())
		}
		return all
	}
	return []string{err.Error()}
}

// usable reports whether none of the settings that begin so has a fault; where one has, the
// checks are skipped.
func (d *Doctor) usable(check string, prefixes ...string) bool {
	for _, name := range d.faulty {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				d.skipped(check, "not looked at: "+name+" has a fault")
				return false
			}
		}
	}
	return true
}

// cause is the innermost text of an error of the network, without what it was about.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
