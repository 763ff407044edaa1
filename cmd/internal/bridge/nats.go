package bridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ConnectNATS connects a client command; it fails where no server answers.
func ConnectNATS(s NATS, name string, more ...nats.Option) (*nats.Conn, error) {
	return connectNATS(s, name, nil, more...)
}

// connectNATS connects with base, which the settings come before.
func connectNATS(s NATS, name string, base []nats.Option, more ...nats.Option) (*nats.Conn, error) {
	var r reader
	if s = r.nats(s); len(r.faults) > 0 {
		return nil, ConfigurationError(errors.Join(r.faults...))
	}
	options := slices.Concat(base, natsOptions(s, name), []nats.Option{nats.Timeout(5 * time.Second)}, more)
	nc, err := nats.Connect(s.URL, options...)
	if err != nil {
		return nil, natsError(s, err)
	}
	return nc, nil
}

// natsError names the servers, and neither the user nor the password that may
// stand in their URLs.
func natsError(s NATS, err error) error {
	return fmt.Errorf("connect to NATS at %s: %w", serverNames(s.URL), natsCause(err))
}

// natsCause leaves out an URL that an error repeats.
func natsCause(err error) error {
	if bad, ok := errors.AsType[*url.Error](err); ok {
		return bad.Err
	}
	return err
}

// consumerInboxes is the prefix of a consumer's own inboxes where none is set, so that
// its NATS user needs no right to read other people's.
const consumerInboxes = "_INBOX.crmbridge"

// connectConsumer connects a consumer, which waits for servers that are away, at
// its start as later. lost is called when the connection is closed for good.
func connectConsumer(s NATS, log *slog.Logger, lost func(error), more ...nats.Option) (*nats.Conn, error) {
	if s.InboxPrefix == "" {
		s.InboxPrefix = consumerInboxes
	}
	away := &outage{log: log, what: "NATS"}
	options := append(natsOptions(s, "crmbridge"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be mended while it runs
		nats.ClosedHandler(func(nc *nats.Conn) {
			away.end()
			lost(nc.LastError())
		}),
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		// A server that died without a sign: what is written to it must not hold the
		// client's lock, or nobody would notice that its pings are not answered.
		nats.FlusherTimeout(natsWrite),
		nats.ReconnectOnFlusherError(),
		nats.ConnectHandler(func(nc *nats.Conn) { log.Info("connected to NATS", "server", nc.ConnectedServerName()) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			away.over("server", nc.ConnectedServerName())
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				away.lost(natsCause(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) || errors.Is(err, nats.ErrBadHeaderMsg) {
				// Whoever floods causes them. The consumer counts the first; a message with the second is
				// executed or refused like any other.
				return
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS", "subject", subject, "error", err)
		}),
	)
	nc, err := nats.Connect(s.URL, append(options, more...)...)
	if err != nil {
		return nil, natsError(s, err)
	}
	return nc, nil
}

// A server that died without a sign is noticed when it is to be pinged for the third
// time and has answered neither of the last two pings, after 30 s at the latest.
const (
	natsPing        = 10 * time.Second
	natsPingsMissed = 2
	natsWrite       = 5 * time.Second
)

func natsOptions(s NATS, name string) []nats.Option {
	options := []nats.Option{nats.Name(name), nats.PingInterval(natsPing), nats.MaxPingsOutstanding(natsPingsMissed)}
	if s.Creds != "" {
		options = append(options, nats.UserCredentials(s.Creds))
	}
	if s.TLSCA != "" {
		options = append(options, nats.RootCAs(s.TLSCA))
	}
	if s.TLSCert != "" {
		options = append(options, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	if s.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	return options
}

// serverNames drops what stands before an @ in a list of URLs: a password, or a
// token in the place of a user.
func serverNames(text string) string {
	var shown []string
	for _, server := range list(text) {
		if at := strings.LastIndexByte(server, '@'); at >= 0 {
			server = server[at+1:]
		}
		shown = append(shown, server)
	}
	return strings.Join(shown, ", ")
}

// tlsFor is the TLS configuration of an outgoing connection.
func tlsFor(server string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
}
