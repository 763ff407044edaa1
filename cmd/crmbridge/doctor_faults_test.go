package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A setUp is one that a fault is put into before doctor looks at it.
type setUp struct {
	*testing.T
	w        *bridgetest.World
	settings bridge.Settings
	env      []string // besides the settings
	args     []string
}

// nats gives crmbridge another NATS server, which is made with these options.
func (s *setUp) nats(change func(*server.Options)) *server.Server {
	other := streamstest.Server(s.T, change)
	s.settings.URL = other.ClientURL()
	return other
}

// keyPair makes a certificate, with its key as PEM in a file.
func (s *setUp) keyPair(ends time.Time, ips ...net.IP) (*x509.Certificate, tls.Certificate, string) {
	s.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		s.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		s.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file := filepath.Join(s.TempDir(), "pair.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.Fatal(err)
	}
	return certificate, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// nobody is an address where nobody listens.
func (s *setUp) nobody() string { return fmt.Sprintf("127.0.0.1:%d", bridgetest.Port(s.T)) }

// redis does something with the world's Redis.
func (s *setUp) redis(commands ...string) {
	admin := bridgetest.RedisAdministrator(s.T, s.w)
	for _, command := range commands {
		bridgetest.RedisDo(s.T, admin, command)
	}
}

// behind is the emulator with a clock that is wrong.
func behind(by time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
			next.ServeHTTP(w, r)
		})
	}
}

// Each set-up has one fault. Doctor names it and no other, with what mends it; the status is 1
// where crmbridge would not work.
func TestDoctorNamesTheFault(t *testing.T) {
	bridgetest.Long(t, "it makes a world for each of many faults")
	for name, c := range map[string]struct {
		options emulator.Options
		wrap    func(http.Handler) http.Handler
		runs    bool // a crmbridge that works, with the connection acme
		break_  func(s *setUp)
		check   string
		warned  bool
		says    string
		mends   string
	}{
		"a setting": {break_: func(s *setUp) { s.settings.LogLevel = "loud" },
			check: "settings", says: "LOG_LEVEL must be one of", mends: "mend LOG_LEVEL; see deploy/README.md#settings"},
		"a mistyped variable": {break_: func(s *setUp) { s.env = []string{"USER_CONCURENCY=20"} },
			check: "settings", warned: true, says: "did you mean USER_CONCURRENCY?", mends: "rename USER_CONCURENCY to USER_CONCURRENCY"},
		"a mistyped variable that is needed": {break_: func(s *setUp) {
			s.settings.EntraClientSecret = ""
			s.env = []string{"ENTRA_CLIENT_SECRT=" + emulator.DefaultClientSecret}
		}, check: "settings", says: "ENTRA_CLIENT_SECRET is missing, and ENTRA_CLIENT_SECRT is set",
			mends: "rename ENTRA_CLIENT_SECRT to ENTRA_CLIENT_SECRET"},
		"a clock that is wrong": {wrap: behind(-20 * time.Minute),
			check: "clock", says: "20m", mends: "timedatectl set-ntp true"},
		"a clock that is off": {wrap: behind(40 * time.Second),
			check: "clock", warned: true, says: "behind Entra's", mends: "timedatectl set-ntp true"},
		"NATS is away": {break_: func(s *setUp) { s.settings.URL = "nats://somebody:canary-password@" + s.nobody() },
			check: "nats", says: "does not answer", mends: "mend NATS_URL"},
		"another NATS user": {break_: func(s *setUp) {
			s.nats(func(o *server.Options) { o.Username, o.Password = "crmbridge", "right" })
			s.settings.URL = strings.Replace(s.settings.URL, "://", "://crmbridge:canary-password@", 1)
		}, check: "nats.user", says: "does not let this user in", mends: "user and password in NATS_URL"},
		"a certificate that nobody knows": {break_: func(s *setUp) {
			_, pair, _ := s.keyPair(time.Now().Add(1000*time.Hour), net.IPv4(127, 0, 0, 1))
			s.nats(func(o *server.Options) {
				o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
			})
			s.settings.URL = strings.Replace(s.settings.URL, "nats://", "tls://", 1)
		}, check: "nats.tls", says: "no encrypted connection", mends: "NATS_TLS_CA"},
		"a subscription is refused": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"crm.users.*.request"}},
				Publish: &server.SubjectPermission{Allow: []string{">"}}})
		}, check: "nats.subscribe", says: "crm.users.whoami.request", mends: `"crm.users.*.request"`},
		"requests of one connection are refused": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"crm.accounts.*.request.*"}}})
		}, check: "nats.subscribe", says: "crm.accounts.search.request.*, crm.accounts.get.request.*, crm.accounts.count.request.* and 2 more", mends: `"crm.accounts.*.request.*"`},
		"the description is refused": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"$SRV.>"}}})
		}, check: "nats.subscribe", says: "$SRV.", mends: `"$SRV.>"`},
		"another user's inboxes": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.administrators.>"}}})
			s.env = []string{"NATS_INBOX_PREFIX=_INBOX.administrators"}
		}, check: "nats.subscribe", says: "_INBOX.administrators.", mends: "unset NATS_INBOX_PREFIX"},
		"answers are refused": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"_INBOX.>", "_R_.>", "campaigns.>"}}})
		}, check: "nats.publish", says: "_INBOX.>", mends: `"_INBOX.>"`},
		"results are refused": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"crm.results.>"}}})
		}, check: "nats.publish", says: "crm.results.*.*", mends: `"crm.results.*.*"`},
		"JetStream may not be asked": {break_: func(s *setUp) {
			s.limited(&server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.NAMES"}}})
		}, check: "nats.publish", says: "$JS.API.STREAM.NAMES", mends: `"$JS.API.STREAM.NAMES"`},
		"no JetStream": {break_: func(s *setUp) { s.nats(func(o *server.Options) { o.JetStream = false }) },
			check: "nats.jetstream", warned: true, says: "it needs JetStream", mends: "jetstream {"},
		"a stream captures requests": {break_: func(s *setUp) {
			s.stream(jetstream.StreamConfig{Name: "EVERYTHING", Subjects: []string{"crm.accounts.>"}})
		}, check: "nats.streams", says: "stream EVERYTHING captures", mends: "nats stream edit"},
		"a stream is in the way of results": {break_: func(s *setUp) {
			s.stream(jetstream.StreamConfig{Name: "OURS", Subjects: []string{"crm.results.acme.>"}})
		}, check: "nats.streams", says: "OURS", mends: "nats stream"},
		"a stream of jobs that differs": {break_: func(s *setUp) {
			s.stream(jetstream.StreamConfig{Name: messages.DeadStream, Subjects: []string{messages.DeadSubjects}, MaxMsgsPerSubject: 9})
		}, check: "nats.streams", says: "CRM_DEAD has max_msgs_per_subject 9", mends: "nats stream edit"},
		"a small max_payload": {break_: func(s *setUp) { s.nats(func(o *server.Options) { o.MaxPayload = 16 << 10 }) },
			check: "nats.max_payload", says: "16384", mends: "max_payload: 1MB"},
		"Redis is away": {break_: func(s *setUp) { s.settings.RedisURL = "redis://:canary-password@" + s.nobody() + "/0" },
			check: "redis", says: "cannot be reached", mends: "REDIS_URL"},
		"Redis wants a password": {break_: func(s *setUp) { s.redis("CONFIG SET requirepass secret") },
			check: "redis", says: "wants a password", mends: "into REDIS_URL"},
		"another password of Redis": {break_: func(s *setUp) {
			s.redis("ACL SETUSER crmbridge on >secret ~crmbridge:* &crmbridge:* +@all")
			s.settings.RedisURL = strings.Replace(s.settings.RedisURL, "redis://", "redis://crmbridge:canary-password@", 1)
		}, check: "redis", says: "refuses the user or password in REDIS_URL", mends: "mend user and password in REDIS_URL"},
		"Redis evicts": {runs: true, break_: func(s *setUp) { s.redis("CONFIG SET maxmemory-policy allkeys-lru") },
			check: "redis.eviction", says: "allkeys-lru", mends: "redis-cli CONFIG SET maxmemory-policy noeviction"},
		"Redis forgets": {runs: true, break_: func(s *setUp) { s.redis("CONFIG SET appendonly no") },
			check: "redis.append_only", warned: true, says: "no append-only file", mends: "redis-cli CONFIG SET appendonly yes"},
		"Redis keeps channels to itself": {break_: func(s *setUp) {
			s.redis("ACL SETUSER crmbridge on >secret ~crmbridge:* resetchannels +@all")
			s.settings.RedisURL = strings.Replace(s.settings.RedisURL, "redis://", "redis://crmbridge:secret@", 1)
		}, check: "redis.channels", says: "channels", mends: "ACL SETUSER crmbridge"},
		"Redis refuses a command": {break_: func(s *setUp) {
			s.redis("ACL SETUSER crmbridge on >secret ~crmbridge:* &crmbridge:* +@all -eval -evalsha")
			s.settings.RedisURL = strings.Replace(s.settings.RedisURL, "redis://", "redis://crmbridge:secret@", 1)
		}, check: "redis", says: "refuses the command evalsha", mends: "deploy/redis.acl"},
		"another key set": {runs: true, break_: func(s *setUp) {
			other, err := tokens.GenerateKeyset()
			if err != nil {
				s.Fatal(err)
			}
			s.settings.TokenKeyset = string(other)
		}, check: "keyset", says: "opens none of the stored connections", mends: "TOKEN_KEYSET"},
		"an old key set": {break_: func(s *setUp) {
			file := filepath.Join(s.TempDir(), "keys.json")
			long := time.Now().Add(-500 * 24 * time.Hour)
			if err := os.WriteFile(file, []byte(s.settings.TokenKeyset), 0o600); err != nil {
				s.Fatal(err)
			}
			if err := os.Chtimes(file, long, long); err != nil {
				s.Fatal(err)
			}
			s.settings.TokenKeyset, s.settings.TokenKeysetFile = "", file
		}, check: "keyset.age", warned: true, says: long().Format(time.DateOnly), mends: "crmbridge keys rotate"},
		"Entra is away": {break_: func(s *setUp) { s.settings.EntraAuthorityURL = "http://" + s.nobody() },
			check: "entra.authority", says: "does not answer", mends: "ENTRA_AUTHORITY_URL"},
		"no Entra": {break_: func(s *setUp) { s.settings.EntraAuthorityURL = s.other(http.NotFoundHandler()) },
			check: "entra.authority", says: "is no authority of Entra ID: it answers 404", mends: "ENTRA_AUTHORITY_URL"},
		"a wrong secret": {runs: true, break_: func(s *setUp) { s.settings.EntraClientSecret = "canary-wrong-secret" },
			check: "entra.credential", says: "AADSTS7000215", mends: "ENTRA_CLIENT_SECRET"},
		"a wrong secret before there is a connection": {break_: func(s *setUp) { s.settings.EntraClientSecret = "canary-wrong-secret" },
			check: "entra.credential", says: "AADSTS7000215", mends: "ENTRA_CLIENT_SECRET"},
		"another application": {runs: true, break_: func(s *setUp) { s.settings.EntraClientID = "99999999-2222-3333-4444-555555555555" },
			check: "entra.credential", says: "AADSTS700016", mends: "ENTRA_CLIENT_ID"},
		"a certificate that ends soon": {break_: func(s *setUp) {
			certificate, _, file := s.keyPair(time.Now().Add(100 * time.Hour))
			s.settings.EntraClientSecret, s.settings.EntraClientCertificateFile = "", file
			s.settings.EntraAuthorityURL = s.emulator(emulator.Options{ClientCertificates: []*x509.Certificate{certificate}})
		}, check: "entra.certificate", warned: true, says: "the certificate ends on", mends: "register a new certificate"},
		"PUBLIC_URL leads nowhere": {runs: true, break_: func(s *setUp) { s.settings.PublicURL = "http://" + s.nobody() },
			check: "public_url", says: "cannot be reached", mends: "HTTP_ADDR"},
		"PUBLIC_URL leads elsewhere": {runs: true, break_: func(s *setUp) { s.settings.PublicURL = s.other(http.NotFoundHandler()) },
			check: "public_url", says: "is answered by another program (status 404)", mends: "mend PUBLIC_URL"},
		"two versions": {runs: true, break_: func(s *setUp) { s.older() },
			check: "fleet", warned: true, says: "1 of version 0.0.9, 1 of version 0.1.0", mends: "#upgrading"},
		"processes at another NATS": {runs: true, break_: func(s *setUp) { s.nats(nil) },
			check: "fleet", says: "processes at this Redis: 1, and none answers", mends: "the same NATS_URL"},
		"nobody serves the connection": {break_: func(s *setUp) { s.args = []string{"acme"} },
			check: "fleet", says: "no crmbridge answers", mends: "crmbridge serve"},
		"no such connection": {runs: true, break_: func(s *setUp) { s.args = []string{"nobody"} },
			check: "connection", says: "connection_not_found", mends: "crmbridge connect nobody"},
		"a grant that is gone": {runs: true, break_: func(s *setUp) {
			s.args = []string{"acme"}
			s.w.Emulator.Control().RevokeRefreshTokens(emulator.DefaultUser)
			s.w.Emulator.Control().ExpireAccessTokens()
			client, _ := s.w.Client()
			bridgetest.Await(s.T, "a grant that is known to be gone", func() error {
				_, err := client.WhoAmI(s.Context(), "acme")
				if err == nil || !strings.Contains(err.Error(), "reauthorization_required") {
					return fmt.Errorf("%v", err)
				}
				return nil
			})
		}, check: "connection.token", says: "revoked", mends: "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &setUp{T: t, w: bridgetest.NewWrapped(t, c.options, c.wrap)}
			s.settings = s.w.Settings(true)
			if c.runs {
				s.w.Bridge(s.settings, nil)
				s.w.Connect("acme")
			}
			if c.break_ != nil {
				c.break_(s)
			}
			found, status := examined(t, append(bridgetest.Environment(s.settings), s.env...), s.args...)
			named := 0
			for _, f := range found.Checks {
				if strings.Contains(f.Detail+f.Remedy, "canary") {
					t.Errorf("a secret is printed: %+v", f)
				}
				if f.Result == bridge.Passed || f.Result == bridge.Skipped {
					continue
				}
				named++
				if f.Check != c.check || f.Result == bridge.Warned != c.warned || !strings.Contains(f.Detail, c.says) ||
					!strings.Contains(f.Remedy, c.mends) {
					t.Errorf("%+v", f)
				}
			}
			if named != 1 || status == 0 != c.warned || found.OK != c.warned {
				t.Errorf("%d findings, status %d: %+v", named, status, found.Checks)
			}
		})
	}
}

func long() time.Time { return time.Now().Add(-500 * 24 * time.Hour).UTC() }

// limited gives crmbridge a NATS user with these permissions.
func (s *setUp) limited(permissions *server.Permissions) {
	s.nats(func(o *server.Options) {
		o.Users = []*server.User{{Username: "crmbridge", Password: "secret", Permissions: permissions}}
	})
	s.settings.URL = strings.Replace(s.settings.URL, "://", "://crmbridge:secret@", 1)
}

// stream makes a stream on a NATS server of its own.
func (s *setUp) stream(config jetstream.StreamConfig) {
	s.Helper()
	_, js := streamstest.Connect(s.T, s.nats(nil))
	if _, err := js.CreateStream(s.Context(), config); err != nil {
		s.Fatal(err)
	}
}

// other serves something else over HTTP.
func (s *setUp) other(handler http.Handler) string {
	addr := s.nobody()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		s.Fatal(err)
	}
	one := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = one.Serve(listener) }() // until Close
	s.Cleanup(func() { _ = one.Close() })
	return "http://" + addr
}

// emulator serves another emulated Entra ID.
func (s *setUp) emulator(options emulator.Options) string {
	s.Helper()
	w := bridgetest.New(s.T, options)
	return w.EmulatorURL
}

// older answers for a process of an older version.
func (s *setUp) older() {
	s.Helper()
	_, nc := s.w.Client()
	if _, err := nc.Subscribe("$SRV.STATS.crmbridge", func(msg *nats.Msg) {
		_ = msg.Respond([]byte(`{"type":"io.nats.micro.v1.stats_response","name":"crmbridge","id":"older","version":"0.0.9",
			"started":"2026-01-01T00:00:00Z","endpoints":[{"name":"users-get","num_requests":3,"data":null}]}`))
	}); err != nil {
		s.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.Fatal(err)
	}
}
