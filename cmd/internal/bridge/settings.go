// Package bridge wires crmbridge together from its configuration, in the order
// in which a message flows: log, NATS, Redis, tokens, dynamics, handlers. The
// production program, the development program and the end-to-end tests call the
// same functions.
package bridge

import (
	"reflect"

	"github.com/alecthomas/kong"
)

// Settings are the flags and environment variables of serve, as text: they are
// read all together by Config, so that every fault is reported at once and
// nothing connects before.
type Settings struct {
	NATS
	RedisURL     string `name:"redis-url" env:"REDIS_URL" placeholder:"URL" help:"Redis: redis://, rediss://, redis+cluster://HOST:PORT,…, redis+sentinel://HOST:PORT,…/MASTER/DB. Default redis://127.0.0.1:6379/0."`
	RedisURLFile string `name:"redis-url-file" env:"REDIS_URL_FILE" placeholder:"FILE" help:"File that holds the Redis URL."`

	TokenKeyset     string `name:"token-keyset" env:"TOKEN_KEYSET" placeholder:"JSON" help:"Key set for encryption at rest, from 'crmbridge keys generate'. Required."`
	TokenKeysetFile string `name:"token-keyset-file" env:"TOKEN_KEYSET_FILE" placeholder:"FILE" help:"File that holds the key set."`

	EntraClientID         string `name:"entra-client-id" env:"ENTRA_CLIENT_ID" placeholder:"GUID" help:"Application (client) id of the Entra app registration. Required."`
	EntraClientSecret     string `name:"entra-client-secret" env:"ENTRA_CLIENT_SECRET" placeholder:"TEXT" help:"Client secret of the app registration. Required, unless one of the next two is there."`
	EntraClientSecretFile string `name:"entra-client-secret-file" env:"ENTRA_CLIENT_SECRET_FILE" placeholder:"FILE" help:"File that holds the client secret."`

	EntraClientCertificateFile string `name:"entra-client-certificate-file" env:"ENTRA_CLIENT_CERTIFICATE_FILE" placeholder:"FILE" help:"Certificate of the app registration and its RSA key (PEM), in place of a secret; read again when it changes."`
	EntraFederatedTokenFile    string `name:"entra-federated-token-file" env:"ENTRA_FEDERATED_TOKEN_FILE" placeholder:"FILE" help:"JWT that the platform makes and renews (workload identity federation), in place of a secret. Where nothing is set, the platform's AZURE_FEDERATED_TOKEN_FILE counts."`
	AzureFederatedTokenFile    string `name:"azure-federated-token-file" env:"AZURE_FEDERATED_TOKEN_FILE" hidden:""`
	AppConnectionsFile         string `name:"app-connections-file" env:"APP_CONNECTIONS_FILE" placeholder:"FILE" help:"Connections that may be made by client_credentials: [{\"connection\",\"environment_url\"}]. Without it none may."`

	EntraAuthorityURL string `name:"entra-authority-url" env:"ENTRA_AUTHORITY_URL" default:"https://login.microsoftonline.com" placeholder:"URL" help:"Entra ID authority: ${default}. One deployment serves one cloud."`

	PublicURL        string `name:"public-url" env:"PUBLIC_URL" default:"http://localhost:8080" placeholder:"URL" help:"Where people reach crmbridge: ${default}. PUBLIC_URL/oauth/callback must be registered as redirect URL."`
	OperatorName     string `name:"operator-name" env:"OPERATOR_NAME" placeholder:"NAME" help:"Who asks for connections, as people read it on the connect page."`
	OperatorURL      string `name:"operator-url" env:"OPERATOR_URL" placeholder:"URL" help:"Page that says how what is read is handled (privacy); https."`
	OperatorLogoFile string `name:"operator-logo-file" env:"OPERATOR_LOGO_FILE" placeholder:"FILE" help:"Logo for the connect page: PNG, JPEG, WebP or GIF, at most 256 KiB."`

	Tables string `name:"tables" env:"TABLES" default:"accounts" predictor:"tables" placeholder:"LIST" help:"Tables that this deployment serves and asks people for on the connect page, such as accounts,contacts: ${default}."`

	HTTPAddr            string `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Listen address of /connect/… and /oauth/callback: ${default}."`
	AdminAddr           string `name:"admin-addr" env:"ADMIN_ADDR" default:"127.0.0.1:8081" placeholder:"ADDR" help:"Listen address of /healthz, /readyz, /metrics and /asyncapi.json: ${default}."`
	ConsoleAddr         string `name:"console-addr" env:"CONSOLE_ADDR" placeholder:"ADDR" help:"Listen address of the read-only console, such as 127.0.0.1:8082; another than a loopback address needs a password. Without it there is none."`
	ConsolePasswordFile string `name:"console-password-file" env:"CONSOLE_PASSWORD_FILE" placeholder:"FILE" help:"File that holds the console's password, of at least 16 characters; read at the start."`

	PprofAddr string `name:"pprof-addr" env:"PPROF_ADDR" placeholder:"ADDR" help:"Listen address of profiles (/debug/pprof/), a loopback address such as 127.0.0.1:6060 or :6060. Without it there are none."`

	BusCompletion Switch `name:"bus-completion" env:"BUS_COMPLETION" help:"Let applications complete authorizations over NATS (default false)."`
	RequireScoped Switch `name:"require-scoped-subjects" env:"REQUIRE_SCOPED_SUBJECTS" help:"Subscribe no plain subject except for connections.* (default false)."`
	ReplySubjects string `name:"reply-subjects" env:"REPLY_SUBJECTS" default:"_INBOX.>,_R_.>" placeholder:"LIST" help:"Reply subjects that replies may go to: ${default}."`
	AllowedHosts  string `name:"dynamics-allowed-hosts" env:"DYNAMICS_ALLOWED_HOSTS" placeholder:"LIST" help:"Environment hosts, host[:port] or *.suffix; by default Microsoft's Dataverse hosts of the cloud."`
	AllowHTTP     Switch `name:"dynamics-allow-http" env:"DYNAMICS_ALLOW_HTTP" help:"Allow plain http to loopback addresses, for an emulator on this machine (default false)."`
	APIVersion    string `name:"dynamics-api-version" env:"DYNAMICS_API_VERSION" default:"v9.2" placeholder:"VERSION" help:"Web API version: ${default}."`
	MaxInFlight   string `name:"max-in-flight" env:"MAX_IN_FLIGHT" default:"256" placeholder:"N" help:"Requests in flight in this process, others wait: ${default}."`

	MemoryBudget string `name:"memory-budget" env:"MEMORY_BUDGET" placeholder:"BYTES" help:"What requests, answers and metadata may hold in this process, such as 512MiB. Default 60 % of the container's memory, or the machine's, at most 1GiB."`

	UserConcurrency string `name:"user-concurrency" env:"USER_CONCURRENCY" default:"40" placeholder:"N" help:"Dataverse calls in flight for one user over the whole fleet: ${default}. Dataverse refuses at 52."`

	NATSReplicas    string `name:"nats-replicas" env:"NATS_REPLICAS" default:"1" placeholder:"N" help:"Replicas of streams that are made: ${default}. Those that are there stay as they are."`
	ResultsMaxBytes string `name:"results-max-bytes" env:"RESULTS_MAX_BYTES" default:"4GiB" placeholder:"BYTES" help:"What the stream of jobs' results may hold where it is made: ${default}. One connection may hold a quarter."`
	JobLifetime     string `name:"job-lifetime" env:"JOB_LIFETIME" default:"24h" placeholder:"DURATION" help:"How long after its publication a job may run: ${default}. Results are kept for 24h longer at least."`
	JobMaxBytes     string `name:"job-max-bytes" env:"JOB_MAX_BYTES" default:"4GiB" placeholder:"BYTES" help:"What the results of one job may take: ${default}, and never more than a connection may hold."`

	ShutdownGrace string `name:"shutdown-grace" env:"SHUTDOWN_GRACE" default:"30s" placeholder:"DURATION" help:"How long work in flight may take after SIGTERM: ${default}."`
	LogLevel      string `name:"log-level" env:"LOG_LEVEL" default:"info" predictor:"level" placeholder:"LEVEL" help:"debug, info, warn or error: ${default}."`
	LogFormat     string `name:"log-format" env:"LOG_FORMAT" default:"auto" predictor:"format" placeholder:"FORMAT" help:"auto, text or json: ${default}. auto is text on a terminal and json elsewhere."`
}

// NATS are the settings by which every command reaches NATS. The URL has no default that kong
// would fill in: commands that ask look for a context where none is given; see [ClientNATS].
type NATS struct {
	URL     string `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS servers, comma-separated. Default nats://127.0.0.1:4222."`
	URLFile string `name:"nats-url-file" env:"NATS_URL_FILE" placeholder:"FILE" help:"File that holds the URLs of the NATS servers, which have a password in them."`
	Creds   string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"NATS credentials file."`
	TLSCA   string `name:"nats-tls-ca" env:"NATS_TLS_CA" placeholder:"FILE" help:"Certificates that the NATS server's is checked against (PEM)."`
	TLSCert string `name:"nats-tls-cert" env:"NATS_TLS_CERT" placeholder:"FILE" help:"Client certificate (PEM)."`
	TLSKey  string `name:"nats-tls-key" env:"NATS_TLS_KEY" placeholder:"FILE" help:"Key of the client certificate (PEM)."`
	// InboxPrefix is for users who may subscribe to inboxes of their own only, as
	// in deploy/nats.conf.
	InboxPrefix string `name:"nats-inbox-prefix" env:"NATS_INBOX_PREFIX" placeholder:"SUBJECT" help:"Prefix of the inboxes that this NATS user may subscribe to, instead of _INBOX, or _INBOX.crmbridge for serve."`

	fromFile bool // the URLs were read from URLFile
}

// A Switch is true or false as text, so that a value which is neither becomes a
// fault among the others.
type Switch string

// IsBool lets the flag stand without a value.
func (Switch) IsBool() bool { return true }

// Decode keeps the text of a flag or variable.
func (s *Switch) Decode(ctx *kong.DecodeContext) error {
	*s = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		*s = Switch(ctx.Scan.Pop().String())
	}
	return nil
}

var _ kong.BoolMapperValue = (*Switch)(nil)

// withDefaults fills in what is empty: a variable that is set to nothing, as
// compose files and charts like to, means the default.
func (s Settings) withDefaults() Settings {
	value := reflect.ValueOf(&s).Elem()
	for _, field := range reflect.VisibleFields(value.Type()) {
		at := value.FieldByIndex(field.Index)
		if standard := field.Tag.Get("default"); standard != "" && at.Kind() == reflect.String && at.String() == "" {
			at.SetString(standard)
		}
	}
	return s
}

// Variables lists the environment variables that serve reads: those of Settings, and of
// OpenTelemetry.
func Variables() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		if name := field.Tag.Get("env"); name != "" {
			names = append(names, name)
		}
	}
	return append(names, traceVariables...)
}
