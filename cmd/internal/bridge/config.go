package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Config is a checked configuration: what Settings mean.
type Config struct {
	NATS          NATS
	Redis         *redis.UniversalOptions
	Keyset        *tokens.Keyset
	ClientID      string
	AuthorityURL  string
	PublicURL     string
	HTTPAddr      string
	AdminAddr     string
	BusCompletion bool
	RequireScoped bool
	ReplySubjects []string
	Hosts         *dynamics.HostPolicy
	AllowHTTP     bool
	APIVersion    string
	MaxInFlight   int
	MemoryBudget  int64 // bytes
	UserCalls     int   // USER_CONCURRENCY
	ShutdownGrace time.Duration
	LogLevel      slog.Level
	LogFormat     string

	// How the application proves itself at Entra: exactly one of them is set.
	ClientSecret          tokens.Secret
	ClientCertificateFile string
	FederatedTokenFile    string
	// AppConnections are the environments, by connection, that client_credentials
	// may be used for.
	AppConnections map[string]string
	Operator       tokens.Operator // who asks, on the connect pages
	// Tables are those that this deployment serves: what people who connect from now on
	// are asked for, and what operations there are.
	Tables []messages.Table
}

// Config reads the settings. The error lists every fault, one a line, each with
// the variable's name; no secret is repeated in it.
func (s Settings) Config() (Config, error) {
	var r reader
	s = s.withDefaults()
	config := Config{
		NATS:          r.nats(s.NATS),
		Redis:         r.redis(s.secret(&r, "REDIS_URL", s.RedisURL, s.RedisURLFile)),
		Keyset:        r.keyset(s.secret(&r, "TOKEN_KEYSET", s.TokenKeyset, s.TokenKeysetFile)),
		ClientID:      r.clientID(s.EntraClientID),
		BusCompletion: r.boolean("BUS_COMPLETION", s.BusCompletion),
		RequireScoped: r.boolean("REQUIRE_SCOPED_SUBJECTS", s.RequireScoped),
		ReplySubjects: r.replySubjects(s.ReplySubjects),
		AllowHTTP:     r.boolean("DYNAMICS_ALLOW_HTTP", s.AllowHTTP),
		APIVersion:    r.pattern("DYNAMICS_API_VERSION", s.APIVersion, apiVersion, "a version such as v9.2"),
		HTTPAddr:      r.addr("HTTP_ADDR", s.HTTPAddr),
		AdminAddr:     r.addr("ADMIN_ADDR", s.AdminAddr),
		MaxInFlight:   r.count("MAX_IN_FLIGHT", s.MaxInFlight, 1, 100_000),
		MemoryBudget:  r.memory(s.MemoryBudget),
		UserCalls:     r.count("USER_CONCURRENCY", s.UserConcurrency, 1, 1000),
		ShutdownGrace: r.duration("SHUTDOWN_GRACE", s.ShutdownGrace, time.Hour),
		LogLevel:      r.level(s.LogLevel),
		LogFormat:     r.oneOf("LOG_FORMAT", s.LogFormat, "auto", "text", "json"),
		PublicURL:     r.publicURL(s.PublicURL),
		Operator:      r.operator(s),
		Tables:        r.tables(s.Tables),
	}
	r.credential(s, &config)
	followKeyset(config.Keyset, s.TokenKeysetFile)
	if _, port, _ := net.SplitHostPort(s.HTTPAddr); s.HTTPAddr == s.AdminAddr && port != "0" {
		r.fault("ADMIN_ADDR",
			"is the same as HTTP_ADDR; give each a port of its own, such as 127.0.0.1:8080 and 127.0.0.1:8081")
	}
	config.AuthorityURL = r.authority(s.EntraAuthorityURL, config.AllowHTTP)
	authority := config.AuthorityURL
	if authority == "" {
		authority = "https://login.microsoftonline.com" // its own fault is listed; the hosts' should be too
	}
	var err error
	config.Hosts, err = dynamics.NewHostPolicy(authority, list(s.AllowedHosts), config.AllowHTTP)
	if err != nil {
		r.fault("DYNAMICS_ALLOWED_HOSTS", "%s", strings.TrimPrefix(err.Error(), "dynamics: "))
	}
	config.AppConnections = r.appConnections(s.AppConnectionsFile, config.Hosts)
	return config, errors.Join(r.faults...)
}

var apiVersion = regexp.MustCompile(`^v9\.[0-9]{1,2}$`)

// reader collects the faults of all settings.
type reader struct{ faults []error }

func (r *reader) fault(name, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(name+": "+format, args...))
}

func (r *reader) check(name string, err error) {
	if err != nil {
		r.fault(name, "%w", err)
	}
}

// secret reads a setting that may stand in a file.
func (s Settings) secret(r *reader, name, value, file string) string {
	switch {
	case file == "":
		return value
	case value != "":
		r.fault(name, "is set, and %s_FILE too; set one of them", name)
		return value
	}
	content, err := os.ReadFile(file)
	if err != nil {
		r.fault(name+"_FILE", "%w", err)
		return unreadable
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		r.fault(name+"_FILE", "%s is empty", file)
		return unreadable
	}
	return text
}

// unreadable takes the place of a secret whose file has a fault already, so that it is
// not reported as missing too.
const unreadable = "\x00"

func (r *reader) keyset(text string) *tokens.Keyset {
	switch text {
	case unreadable:
		return nil
	case "":
		r.fault("TOKEN_KEYSET", "is missing; make one with 'crmbridge keys generate' and keep it safe: "+
			"without it every connection must be made again")
		return nil
	}
	keyset, err := tokens.ReadKeyset([]byte(text))
	if err != nil {
		r.fault("TOKEN_KEYSET", "%s", strings.TrimPrefix(err.Error(), "TOKEN_KEYSET "))
	}
	return keyset
}

func (r *reader) clientID(text string) string {
	switch {
	case text == "":
		r.fault("ENTRA_CLIENT_ID", "is missing; it is the application (client) id of the Entra app registration")
	case len(text) > 100 || strings.ContainsFunc(text, unicode.IsSpace):
		r.fault("ENTRA_CLIENT_ID", "is not an application (client) id such as 11111111-2222-3333-4444-555555555555")
	}
	return text
}

func (r *reader) redis(text string) *redis.UniversalOptions {
	if text == unreadable {
		return nil
	}
	options, err := redisOptions(text)
	r.check("REDIS_URL", err)
	return options
}

func (r *reader) publicURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "":
		r.fault("PUBLIC_URL", "is not an origin such as https://crm.example.com")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		r.fault("PUBLIC_URL", "must be https: people's sign-ins pass through it (http is for localhost only)")
	case u.Scheme != "http" && u.Scheme != "https":
		r.fault("PUBLIC_URL", "must begin with https://")
	}
	return strings.TrimRight(text, "/")
}

func (r *reader) operator(s Settings) tokens.Operator {
	o := tokens.Operator{Name: s.OperatorName, URL: s.OperatorURL}
	r.check("OPERATOR_NAME", tokens.CheckOperatorName(o.Name))
	r.check("OPERATOR_URL", tokens.CheckOperatorURL(o.URL))
	if s.OperatorLogoFile != "" {
		var err error
		o.Logo, o.LogoType, err = tokens.ReadLogo(s.OperatorLogoFile)
		r.check("OPERATOR_LOGO_FILE", err)
	}
	return o
}

func (r *reader) authority(text string, allowHTTP bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "":
		r.fault("ENTRA_AUTHORITY_URL", "is not an origin such as https://login.microsoftonline.com")
	case u.Scheme == "http" && !(allowHTTP && loopback(u.Hostname())):
		r.fault("ENTRA_AUTHORITY_URL", "must be https (plain http needs DYNAMICS_ALLOW_HTTP=true and "+
			"a loopback address)")
	case u.Scheme != "http" && u.Scheme != "https":
		r.fault("ENTRA_AUTHORITY_URL", "must begin with https://")
	default:
		return u.Scheme + "://" + strings.ToLower(u.Host)
	}
	return ""
}

func (r *reader) replySubjects(text string) []string {
	patterns := list(text)
	r.check("REPLY_SUBJECTS", interactive.CheckReplySubjects(patterns))
	return patterns
}

func (r *reader) boolean(name string, text Switch) bool {
	if text == "" {
		return false
	}
	value, err := strconv.ParseBool(string(text))
	if err != nil {
		r.fault(name, "must be true or false")
	}
	return value
}

func (r *reader) count(name, text string, low, high int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		r.fault(name, "must be a whole number from %d to %d", low, high)
	}
	return n
}

func (r *reader) duration(name, text string, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		r.fault(name, "must be a duration from 0s to %s such as 30s or 2m", most)
	}
	return d
}

func (r *reader) pattern(name, text string, shape *regexp.Regexp, right string) string {
	if !shape.MatchString(text) {
		r.fault(name, "must be %s", right)
	}
	return text
}

func (r *reader) addr(name, text string) string {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		r.fault(name, "must be an address such as 127.0.0.1:8080 or :8080")
	}
	return text
}

func (r *reader) level(text string) slog.Level {
	var level slog.Level
	r.oneOf("LOG_LEVEL", strings.ToLower(text), "debug", "info", "warn", "error")
	_ = level.UnmarshalText([]byte(text)) // what oneOf lets through can be read
	return level
}

func (r *reader) oneOf(name, text string, choices ...string) string {
	if !oneOf(text, choices...) {
		r.fault(name, "must be one of %s", strings.Join(choices, ", "))
	}
	return text
}

func oneOf(text string, choices ...string) bool {
	for _, choice := range choices {
		if text == choice {
			return true
		}
	}
	return false
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// list splits a comma-separated setting; blanks around the entries do not count.
func list(text string) []string {
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}
