package bridge

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ConnectNATS connects a client command; it fails where no server answers.
func ConnectNATS(s NATS, name string) (*nats.Conn, error) {
	nc, err := nats.Connect(s.URL, append(natsOptions(s, name), nats.Timeout(5*time.Second))...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", redactURLs(s.URL), err)
	}
	return nc, nil
}

// connectConsumer connects a consumer, which waits for servers that are away, at
// its start as later.
func connectConsumer(s NATS, log *slog.Logger) (*nats.Conn, error) {
	options := append(natsOptions(s, "crmbridge"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(16<<20),
		nats.ConnectHandler(func(nc *nats.Conn) { log.Info("connected to NATS", "server", nc.ConnectedServerName()) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("connected to NATS again", "server", nc.ConnectedServerName()) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("disconnected from NATS", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS", "subject", subject, "error", err)
		}),
	)
	nc, err := nats.Connect(s.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", redactURLs(s.URL), err)
	}
	return nc, nil
}

func natsOptions(s NATS, name string) []nats.Option {
	options := []nats.Option{nats.Name(name)}
	if s.Creds != "" {
		options = append(options, nats.UserCredentials(s.Creds))
	}
	if s.TLSCA != "" {
		options = append(options, nats.RootCAs(s.TLSCA))
	}
	if s.TLSCert != "" {
		options = append(options, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	return options
}

// redactURLs drops what stands before an @ in a list of URLs.
func redactURLs(text string) string {
	var shown []string
	for _, server := range list(text) {
		if u, err := url.Parse(server); err == nil {
			server = u.Redacted()
		} else {
			server = "(unreadable)"
		}
		shown = append(shown, server)
	}
	return strings.Join(shown, ", ")
}

// tlsFor is the TLS configuration of an outgoing connection.
func tlsFor(server string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
}
