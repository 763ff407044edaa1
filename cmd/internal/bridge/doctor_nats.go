package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams"
)

const (
	natsPage = "deploy/README.md#nats"
	// A stored message of a job has headers of up to 34 KiB, and no row is worth having that
	// does not fit beside them; pages are cut to the bound, so that a small one costs messages.
	leastPayload = 64 << 10
	usualPayload = 1 << 20
	// refusalWait is how long the client may take to report what the server has refused.
	refusalWait = 100 * time.Millisecond
)

func (d *Doctor) checkNATS(ctx context.Context) {
	if !d.usable("nats", "NATS_") {
		return
	}
	refused := &refusals{}
	settings := d.config.NATS
	if settings.InboxPrefix == "" {
		settings.InboxPrefix = consumerInboxes
	}
	nc, err := nats.Connect(settings.URL, append(natsOptions(settings, "crmbridge doctor"), nats.Timeout(doctorWait),
		nats.NoReconnect(), nats.ErrorHandler(refused.hear))...)
	if err != nil {
		d.unreachedNATS(err)
		return
	}
	d.nats = nc
	d.passed("nats", "connected to %s, version %s", serverNames(nc.ConnectedUrlRedacted()), nc.ConnectedServerVersion())
	d.checkNATSEncryption()
	d.checkPayload()
	hears := d.checkSubscriptions(ctx, refused)
	asks := d.checkPublishing(ctx, refused, hears)
	switch {
	case !asks:
		d.skipped("nats.streams", "not looked at: this user may not ask for them")
	case !hears:
		d.skipped("nats.streams", "not looked at: this user hears no answers")
	default:
		d.checkStreams(ctx)
	}
}

// unreachedNATS tells a server that is away from one that does not let crmbridge in.
func (d *Doctor) unreachedNATS(err error) {
	servers := serverNames(d.config.NATS.URL)
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &alert),
		errors.As(err, &record), errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted),
		strings.Contains(err.Error(), "tls: "):
		d.failed("nats.tls", fmt.Sprintf("no encrypted connection to %s: %v", servers, natsCause(err)),
			"mend NATS_TLS_CA, or NATS_TLS_CERT and NATS_TLS_KEY, or the server's certificate; see "+natsPage)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired), strings.Contains(strings.ToLower(err.Error()), "authorization"):
		d.failed("nats.user", fmt.Sprintf("%s does not let this user in: %v", servers, natsCause(err)),
			"mend user and password in NATS_URL, or NATS_CREDS; see "+natsPage)
	default:
		d.failed("nats", fmt.Sprintf("%s does not answer: %v", servers, natsCause(err)),
			"start NATS, or mend NATS_URL: nats server check connection -s NATS_URL; see "+natsPage)
	}
}

func (d *Doctor) checkNATSEncryption() {
	state, err := d.nats.TLSConnectionState()
	if err == nil {
		end := state.PeerCertificates[0].NotAfter
		words := fmt.Sprintf("%s, the server's certificate ends on %s", tls.VersionName(state.Version),
			end.UTC().Format(time.DateOnly))
		if time.Until(end) < certificateSoon {
			d.warned("nats.tls", words, "give the NATS server a new certificate")
			return
		}
		d.passed("nats.tls", "%s", words)
		return
	}
	host, _, _ := net.SplitHostPort(d.nats.ConnectedAddr())
	if ip := net.ParseIP(host); ip != nil && !ip.IsPrivate() && !ip.IsLoopback() {
		d.warned("nats.tls", "the connection leaves this network without TLS: passwords and answers pass in clear",
			"let the server have TLS and use NATS_URL=tls://…; see deploy/nats.conf")
		return
	}
	d.passed("nats.tls", "no TLS, on a network of its own")
}

func (d *Doctor) checkPayload() {
	most := d.nats.MaxPayload()
	words := fmt.Sprintf("max_payload is %d bytes", most)
	const remedy = "max_payload: 1MB in the server's configuration; see deploy/nats.conf"
	switch {
	case most < leastPayload:
		d.failed("nats.max_payload", words+": rows, and jobs' results with their headers, do not fit", remedy)
	case most < usualPayload:
		d.warned("nats.max_payload", words+": answers come in more and smaller pages", remedy)
	default:
		d.passed("nats.max_payload", "%s", words)
	}
}

// absentJetStream reports that this account has no JetStream.
func (d *Doctor) absentJetStream(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	js, err := jetstream.New(d.nats)
	if err != nil {
		return false
	}
	_, err = js.AccountInfo(ctx)
	return err != nil && streams.Absent(err)
}

// checkStreams looks for streams that answer in crmbridge's place, and at those of jobs.
func (d *Doctor) checkStreams(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	err := streams.Capturing(ctx, d.nats)
	if errors.Is(err, streams.ErrCaptured) {
		d.failed("nats.streams", err.Error(),
			"nats stream edit STREAM --subjects …, without crm.….request; see "+natsPage)
		return
	}
	if err != nil {
		d.failed("nats.jetstream", streams.Why(err), "let JetStream answer: nats account info; see "+natsPage)
		return
	}
	js, err := jetstream.New(d.nats)
	if err != nil {
		d.failed("nats.jetstream", err.Error(), natsPage)
		return
	}
	state, err := streams.Look(ctx, js, streams.Bounds{Tables: d.config.Tables, Replicas: d.config.Jobs.Replicas,
		ResultsMaxBytes: d.config.Jobs.ResultsMaxBytes, JobLifetime: d.config.Jobs.Lifetime})
	const jobsPage = "deploy/README.md#jobs"
	switch {
	case errors.Is(err, streams.ErrStreams):
		d.warned("nats.jetstream", err.Error()+": requests are answered, and there are neither jobs nor events",
			"jetstream { store_dir: … } in the server's configuration (nats-server 2.12), or JetStream for the account; see "+
				jobsPage)
	case err != nil:
		d.failed("nats.jetstream", streams.Why(err), "nats account info; see "+jobsPage)
	case len(state.Unfit) > 0:
		d.failed("nats.streams", strings.Join(state.Unfit, "; "),
			"nats stream edit STREAM, or nats stream rm STREAM where it is not needed; see "+
				jobsPage)
	case len(state.Full) > 0:
		d.warned("nats.streams", strings.Join(state.Full, "; "), "see "+jobsPage)
	case len(state.Absent) > 0:
		d.passed("nats.streams", "none is in the way; serve makes %s", strings.Join(state.Absent, ", "))
	default:
		d.passed("nats.streams", "none is in the way, and those of jobs can be used")
	}
}
