package bridge

import (
	"errors"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
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
	PprofAddr     string // "" for no profiles
	ConsoleAddr   string // "" for no console
	BusCompletion bool
	RequireScoped bool
	ReplySubjects []string
	Hosts         *dynamics.HostPolicy
	AllowHTTP     bool
	APIVersion    string
	MaxInFlight   int
	MemoryBudget  int64 // bytes
	UserCalls     int   // USER_CONCURRENCY
	Jobs          Jobs
	Traces        Traces
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
	// ConsolePassword is "" where the console is on this machine's loopback address alone.
	ConsolePassword tokens.Secret
	Operator        tokens.Operator // who asks, on the connect pages
	// Tables are those that this deployment serves: what people who connect from now on
	// are asked for, and what operations there are.
	Tables []messages.Table
}

// Jobs are the settings of the durable lane.
type Jobs struct {
	Replicas        int   // of streams that are made
	ResultsMaxBytes int64 // of CRM_RESULTS where it is made
	Lifetime        time.Duration
	MaxBytes        int64 // of the results of one job
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
		PprofAddr:     r.profilesAddr(s.PprofAddr),
		MaxInFlight:   r.count("MAX_IN_FLIGHT", s.MaxInFlight, 1, 100_000),
		MemoryBudget:  r.memory(s.MemoryBudget),
		UserCalls:     r.count("USER_CONCURRENCY", s.UserConcurrency, 1, 1000),
		Jobs:          r.jobs(s),
		Traces:        r.traces(),
		ShutdownGrace: r.duration("SHUTDOWN_GRACE", s.ShutdownGrace, time.Hour),
		LogLevel:      r.level(s.LogLevel),
		LogFormat:     r.oneOf("LOG_FORMAT", s.LogFormat, "auto", "text", "json"),
		PublicURL:     r.publicURL(s.PublicURL),
		Operator:      r.operator(s),
		Tables:        r.tables(s.Tables),
	}
	r.credential(s, &config)
	config.ConsoleAddr, config.ConsolePassword = r.consoleAddr(s)
	followKeyset(config.Keyset, s.TokenKeysetFile)
	if _, port, _ := net.SplitHostPort(s.HTTPAddr); s.HTTPAddr == s.AdminAddr && port != "0" {
		r.fault("ADMIN_ADDR",
			"is the same as HTTP_ADDR; give each a port of its own, such as 127.0.0.1:8080 and 127.0.0.1:8081")
	}
	for _, other := range []struct{ name, addr string }{{"HTTP_ADDR", s.HTTPAddr}, {"ADMIN_ADDR", s.AdminAddr},
		{"PPROF_ADDR", config.PprofAddr}} {
		if other.name != "PPROF_ADDR" && sharesPort(config.PprofAddr, other.addr) {
			r.fault("PPROF_ADDR", "has the port of %s; give each a port of its own, such as 127.0.0.1:6060", other.name)
		}
		if sharesPort(s.ConsoleAddr, other.addr) || sharesPort(other.addr, s.ConsoleAddr) {
			r.fault("CONSOLE_ADDR", "has the port of %s; give each a port of its own, such as 127.0.0.1:8082", other.name)
		}
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
