package bridge_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// Every setting is refused by what is wrong with its value, in a line that names it,
// and is accepted where nothing is.
func TestValuesOfSettings(t *testing.T) {
	exists, empty, pair := file(t, "x"), file(t, "\r\n"), certificate(t)
	for _, c := range []struct {
		name, says string // "" = accepted
		set        func(*bridge.Settings)
	}{
		{"as they are", "", func(*bridge.Settings) {}},

		{"several NATS servers", "", func(s *bridge.Settings) { s.URL = "nats://a:4222, tls://b:4222,ws://c,wss://d" }},
		{"one bad NATS server of two", "NATS_URL: ", func(s *bridge.Settings) { s.URL = "nats://a:4222,http://b:4222" }},
		{"NATS without a host", "NATS_URL: ", func(s *bridge.Settings) { s.URL = "nats://" }},
		{"a certificate with its key", "", func(s *bridge.Settings) { s.TLSCert, s.TLSKey = pair, pair }},
		{"a certificate without its key", "NATS_TLS_CERT: and NATS_TLS_KEY go together", func(s *bridge.Settings) { s.TLSCert = exists }},
		{"a key without its certificate", "NATS_TLS_CERT: and NATS_TLS_KEY go together", func(s *bridge.Settings) { s.TLSKey = exists }},
		{"no such authorities", "NATS_TLS_CA: ", func(s *bridge.Settings) { s.TLSCA = exists + ".none" }},
		{"no such credentials", "NATS_CREDS: ", func(s *bridge.Settings) { s.Creds = exists + ".none" }},
		{"an inbox", "", func(s *bridge.Settings) { s.InboxPrefix = "_INBOX.campaigns" }},
		{"an inbox with a wildcard", "NATS_INBOX_PREFIX: ", func(s *bridge.Settings) { s.InboxPrefix = "_INBOX.>" }},
		{"an inbox that ends in a dot", "NATS_INBOX_PREFIX: ", func(s *bridge.Settings) { s.InboxPrefix = "_INBOX." }},

		{"https authority", "", func(s *bridge.Settings) { s.EntraAuthorityURL = "https://login.microsoftonline.us" }},
		{"http authority on this machine", "ENTRA_AUTHORITY_URL: must be https", func(s *bridge.Settings) { s.EntraAuthorityURL = "http://127.0.0.1:9" }},
		{"the same, not allowed", "ENTRA_AUTHORITY_URL: must be https", func(s *bridge.Settings) { s.EntraAuthorityURL, s.AllowHTTP = "http://localhost:9", "false" }},
		{"http authority on this machine, allowed", "", func(s *bridge.Settings) {
			s.EntraAuthorityURL, s.AllowHTTP, s.AllowedHosts = "http://127.0.0.1:9", "true", "127.0.0.1:9"
		}},
		{"http authority elsewhere, allowed", "ENTRA_AUTHORITY_URL: must be https", func(s *bridge.Settings) { s.EntraAuthorityURL, s.AllowHTTP = "http://login.example.com", "true" }},
		{"an authority with a path", "ENTRA_AUTHORITY_URL: is not an origin", func(s *bridge.Settings) { s.EntraAuthorityURL = "https://login.microsoftonline.com/common" }},
		{"an authority with a user", "ENTRA_AUTHORITY_URL: is not an origin", func(s *bridge.Settings) { s.EntraAuthorityURL = "https://u@login.microsoftonline.com" }},
		{"an authority of another scheme", "ENTRA_AUTHORITY_URL: must begin with https://", func(s *bridge.Settings) { s.EntraAuthorityURL = "ftp://login.microsoftonline.com" }},

		{"https pages", "", func(s *bridge.Settings) { s.PublicURL = "https://crm.example.com/" }},
		{"http pages elsewhere", "PUBLIC_URL: must be https", func(s *bridge.Settings) { s.PublicURL = "http://crm.example.com" }},
		{"pages under a path", "PUBLIC_URL: is not an origin", func(s *bridge.Settings) { s.PublicURL = "https://crm.example.com/crm" }},
		{"pages with a query", "PUBLIC_URL: is not an origin", func(s *bridge.Settings) { s.PublicURL = "https://crm.example.com?x" }},
		{"pages of another scheme", "PUBLIC_URL: must begin with https://", func(s *bridge.Settings) { s.PublicURL = "ftp://crm.example.com" }},

		{"any port", "", func(s *bridge.Settings) { s.HTTPAddr, s.AdminAddr = ":0", "[::1]:65535" }},
		{"no port", "HTTP_ADDR: ", func(s *bridge.Settings) { s.HTTPAddr = "127.0.0.1" }},
		{"no such port", "ADMIN_ADDR: ", func(s *bridge.Settings) { s.AdminAddr = "127.0.0.1:65536" }},
		{"console", "", func(s *bridge.Settings) { s.ConsoleAddr = "127.0.0.1:8082" }},
		{"console for everybody", "CONSOLE_ADDR: 0.0.0.0 is not a loopback address",
			func(s *bridge.Settings) { s.ConsoleAddr = "0.0.0.0:8082" }},
		{"console without a host", "CONSOLE_ADDR: one without a host is not a loopback address",
			func(s *bridge.Settings) { s.ConsoleAddr = ":8082" }},
		{"console with a password that is not there", "CONSOLE_PASSWORD_FILE: open /nowhere",
			func(s *bridge.Settings) { s.ConsoleAddr, s.ConsolePasswordFile = ":8082", "/nowhere" }},
		{"console with a short password", "CONSOLE_PASSWORD_FILE: has less than 16 characters",
			func(s *bridge.Settings) { s.ConsoleAddr, s.ConsolePasswordFile = ":8082", exists }},
		{"console among the admin pages", "CONSOLE_ADDR: has the port of ADMIN_ADDR",
			func(s *bridge.Settings) { s.ConsoleAddr = s.AdminAddr }},
		{"console among the profiles", "CONSOLE_ADDR: has the port of PPROF_ADDR",
			func(s *bridge.Settings) { s.ConsoleAddr, s.PprofAddr = "127.0.0.1:6060", ":6060" }},
		{"console at no port", "CONSOLE_ADDR: must be an address", func(s *bridge.Settings) { s.ConsoleAddr = "127.0.0.1" }},
		{"profiles", "", func(s *bridge.Settings) { s.PprofAddr = "127.0.0.1:6060" }},
		{"profiles of a port", "", func(s *bridge.Settings) { s.PprofAddr = ":6060" }},
		{"profiles of a name", "", func(s *bridge.Settings) { s.PprofAddr = "localhost:6060" }},
		{"profiles at any port", "", func(s *bridge.Settings) { s.AdminAddr, s.PprofAddr = ":0", "[::1]:0" }},
		{"profiles for everybody", "PPROF_ADDR: 0.0.0.0 is not a loopback address",
			func(s *bridge.Settings) { s.PprofAddr = "0.0.0.0:6060" }},
		{"profiles for everybody by IPv6", "PPROF_ADDR: :: is not a loopback address",
			func(s *bridge.Settings) { s.PprofAddr = "[::]:6060" }},
		{"profiles for a network", "PPROF_ADDR: 10.0.0.7 is not a loopback address",
			func(s *bridge.Settings) { s.PprofAddr = "10.0.0.7:6060" }},
		{"profiles at a name elsewhere", "PPROF_ADDR: profiles.example.com is not a loopback address",
			func(s *bridge.Settings) { s.PprofAddr = "profiles.example.com:6060" }},
		{"profiles without a port", "PPROF_ADDR: must be an address such as 127.0.0.1:6060",
			func(s *bridge.Settings) { s.PprofAddr = "127.0.0.1" }},
		{"profiles at no such port", "PPROF_ADDR: must be an address",
			func(s *bridge.Settings) { s.PprofAddr = ":65536" }},
		{"profiles among the admin pages", "PPROF_ADDR: has the port of ADMIN_ADDR",
			func(s *bridge.Settings) { s.AdminAddr, s.PprofAddr = "127.0.0.1:9", ":9" }},
		{"profiles among the admin pages, written otherwise", "PPROF_ADDR: has the port of ADMIN_ADDR",
			func(s *bridge.Settings) { s.AdminAddr, s.PprofAddr = "127.0.0.1:9", "127.0.0.1:009" }},
		{"profiles beside pages for everybody", "PPROF_ADDR: has the port of HTTP_ADDR",
			func(s *bridge.Settings) { s.HTTPAddr, s.PprofAddr = "0.0.0.0:9", ":9" }},
		{"least and most", "", func(s *bridge.Settings) { s.MaxInFlight, s.UserConcurrency, s.ShutdownGrace = "1", "1000", "1h" }},
		{"most and least", "", func(s *bridge.Settings) { s.MaxInFlight, s.UserConcurrency, s.ShutdownGrace = "100000", "1", "0s" }},
		{"nothing in flight", "MAX_IN_FLIGHT: must be a whole number from 1 to 100000", func(s *bridge.Settings) { s.MaxInFlight = "0" }},
		{"too much in flight", "MAX_IN_FLIGHT: ", func(s *bridge.Settings) { s.MaxInFlight = "100001" }},
		{"no calls of a user", "USER_CONCURRENCY: must be a whole number from 1 to 1000", func(s *bridge.Settings) { s.UserConcurrency = "0" }},
		{"too many calls of a user", "USER_CONCURRENCY: ", func(s *bridge.Settings) { s.UserConcurrency = "1001" }},
		{"too long a grace", "SHUTDOWN_GRACE: must be a duration from 0s to 1h0m0s", func(s *bridge.Settings) { s.ShutdownGrace = "61m" }},
		{"a grace before now", "SHUTDOWN_GRACE: ", func(s *bridge.Settings) { s.ShutdownGrace = "-1s" }},
		{"jobs", "", func(s *bridge.Settings) {
			s.NATSReplicas, s.ResultsMaxBytes, s.JobMaxBytes, s.JobLifetime = "3", "10GiB", "512MB", "30m"
		}},
		{"the least for jobs", "", func(s *bridge.Settings) {
			s.ResultsMaxBytes, s.JobMaxBytes,
				s.JobLifetime = "1048576", "1Mi", "1s"
		}},
		{"too many replicas", "NATS_REPLICAS: must be a whole number from 1 to 5",
			func(s *bridge.Settings) { s.NATSReplicas = "6" }},
		{"no room for results", "RESULTS_MAX_BYTES: must be a number of bytes from 1MiB",
			func(s *bridge.Settings) { s.ResultsMaxBytes = "1023KiB" }},
		{"results without a number", "RESULTS_MAX_BYTES: ", func(s *bridge.Settings) { s.ResultsMaxBytes = "much" }},
		{"no room for a job", "JOB_MAX_BYTES: must be a number of bytes from 1MiB",
			func(s *bridge.Settings) { s.JobMaxBytes = "0" }},
		{"a life that is none", "JOB_LIFETIME: must be a duration from 1s on",
			func(s *bridge.Settings) { s.JobLifetime = "a day" }},
		{"a life before now", "JOB_LIFETIME: ", func(s *bridge.Settings) { s.JobLifetime = "-1h" }},
		{"a life that no stream keeps", "JOB_LIFETIME: ", func(s *bridge.Settings) { s.JobLifetime = "8761h" }},
		{"a switch that is neither", "BUS_COMPLETION: must be true or false", func(s *bridge.Settings) { s.BusCompletion = "maybe" }},
		{"a level in capitals", "", func(s *bridge.Settings) { s.LogLevel = "WARN" }},
		{"no such level", "LOG_LEVEL: must be one of debug, info, warn, error", func(s *bridge.Settings) { s.LogLevel = "loud" }},
		{"no such format", "LOG_FORMAT: must be one of auto, text, json", func(s *bridge.Settings) { s.LogFormat = "xml" }},
		{"another version", "", func(s *bridge.Settings) { s.APIVersion = "v9.10" }},
		{"every table", "", func(s *bridge.Settings) { s.Tables = bridge.AllTables() }},
		{"tables with blanks", "", func(s *bridge.Settings) { s.Tables = " contacts , accounts " }},
		{"no such table", `TABLES: "Contacts" is no table; those that there are: accounts, contacts`, func(s *bridge.Settings) { s.Tables = "accounts,Contacts" }},
		{"a table twice", "TABLES: names contacts twice", func(s *bridge.Settings) { s.Tables = "contacts,accounts,contacts" }},
		{"an entry without a table", "TABLES: has an empty entry; ", func(s *bridge.Settings) { s.Tables = "accounts,,contacts" }},
		{"no table", "TABLES: has an empty entry; ", func(s *bridge.Settings) { s.Tables = " " }},
		{"no such version", "DYNAMICS_API_VERSION: ", func(s *bridge.Settings) { s.APIVersion = "v9.2/../v8" }},
		{"a client id with a blank", "ENTRA_CLIENT_ID: ", func(s *bridge.Settings) { s.EntraClientID = "a b" }},
		{"a secret and its file", "TOKEN_KEYSET: is set, and TOKEN_KEYSET_FILE too", func(s *bridge.Settings) { s.TokenKeysetFile = exists }},
		{"an empty file", "REDIS_URL_FILE: " + empty + " is empty", func(s *bridge.Settings) { s.RedisURL, s.RedisURLFile = "", empty }},
		{"a key set that is none", "TOKEN_KEYSET: is not a usable key set", func(s *bridge.Settings) { s.TokenKeyset = "{}" }},
		{"where nobody may be answered", "REPLY_SUBJECTS: ", func(s *bridge.Settings) { s.ReplySubjects = "$SYS.>" }},
	} {
		_, err := settings(t, func(s *bridge.Settings) { s.EntraClientSecret = "x"; c.set(s) }).Config()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.HasPrefix(err.Error(), c.says) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want one fault that begins with %q", c.name, err, c.says)
		}
	}
}

// What is accepted arrives as what it means.
func TestWhatSettingsMean(t *testing.T) {
	config, err := settings(t, func(s *bridge.Settings) {
		s.EntraClientSecret, s.EntraAuthorityURL, s.PublicURL = "x", "https://Login.MicrosoftOnline.com/",
			"https://crm.example.com/"
		s.MaxInFlight, s.UserConcurrency, s.ShutdownGrace, s.LogLevel = "7", "8", "9s", "Warn"
		s.HTTPAddr, s.AdminAddr, s.APIVersion = "127.0.0.1:1", "127.0.0.1:2", "v9.1"
		s.BusCompletion, s.ReplySubjects, s.Tables = "true", " a.> ,, b ", "contacts, accounts"
		s.RedisURL, s.RedisURLFile = "", file(t, "redis://:p@r:6379/3\r\n")
	}).Config()
	if err != nil {
		t.Fatal(err)
	}
	if config.AuthorityURL != "https://login.microsoftonline.com" || config.PublicURL != "https://crm.example.com" {
		t.Errorf("%s %s", config.AuthorityURL, config.PublicURL)
	}
	if config.MaxInFlight != 7 || config.UserCalls != 8 || config.ShutdownGrace != 9*time.Second ||
		config.LogLevel.String() != "WARN" {
		t.Errorf("%d %d %s %s", config.MaxInFlight, config.UserCalls, config.ShutdownGrace, config.LogLevel)
	}
	if config.HTTPAddr != "127.0.0.1:1" || config.AdminAddr != "127.0.0.1:2" || config.APIVersion != "v9.1" {
		t.Errorf("%s %s %s", config.HTTPAddr, config.AdminAddr, config.APIVersion)
	}
	if !config.BusCompletion || config.RequireScoped || config.AllowHTTP ||
		strings.Join(config.ReplySubjects, "|") != "a.>|b" {
		t.Errorf("%v %v %v %q", config.BusCompletion, config.RequireScoped, config.AllowHTTP, config.ReplySubjects)
	}
	if config.Redis.Addrs[0] != "r:6379" || config.Redis.Password != "p" || config.Redis.DB != 3 {
		t.Errorf("%v, database %d", config.Redis.Addrs, config.Redis.DB)
	}
	if len(config.Tables) != 2 || config.Tables[0].Set != "contacts" ||
		config.Tables[1].ReadPrivilege != "prvReadAccount" {
		t.Errorf("%+v", config.Tables)
	}
	// A variable that is set to nothing means the default.
	config, err = settings(t, func(s *bridge.Settings) {
		s.EntraClientSecret = "x"
		s.RedisURL, s.URL, s.PublicURL, s.HTTPAddr, s.MaxInFlight, s.UserConcurrency, s.ShutdownGrace, s.ReplySubjects = "",
			"", "", "", "", "", "", ""
		s.EntraAuthorityURL, s.APIVersion, s.LogLevel, s.LogFormat, s.AdminAddr, s.AllowHTTP = "", "", "", "", "", ""
	}).Config()
	if err != nil || config.MaxInFlight != 256 || config.UserCalls != 40 || config.ShutdownGrace != 30*time.Second ||
		config.HTTPAddr != "127.0.0.1:8080" || config.AdminAddr != "127.0.0.1:8081" ||
		config.NATS.URL != "nats://127.0.0.1:4222" ||
		config.Redis.Addrs[0] != "127.0.0.1:6379" || config.AllowHTTP ||
		config.AuthorityURL != "https://login.microsoftonline.com" ||
		len(config.Tables) != 1 || config.Tables[0].Name != "accounts" {
		t.Errorf("%+v, %v", config, err)
	}
}

// A Redis URL means servers, user, database and TLS in each of its forms.
func TestRedisURLs(t *testing.T) {
	type means struct {
		addrs, user, password, master string
		db                            int
		cluster                       bool
		tls                           bool
	}
	for url, want := range map[string]*means{
		"redis://127.0.0.1:6379/0":              {addrs: "127.0.0.1:6379"},
		"redis://u:p@r:6380/2":                  {addrs: "r:6380", user: "u", password: "p", db: 2},
		"rediss://:p@r.example:6380/0":          {addrs: "r.example:6380", password: "p", tls: true},
		"redis+cluster://u:p%40@n1:1,n2:2":      {addrs: "n1:1 n2:2", user: "u", password: "p@", cluster: true},
		"rediss+cluster://:p@n1:1,n2:2/":        {addrs: "n1:1 n2:2", password: "p", cluster: true, tls: true},
		"redis+sentinel://u:p@s1:1,s2:2/main/3": {addrs: "s1:1 s2:2", user: "u", password: "p", master: "main", db: 3},
		"rediss+sentinel://s1:1,s2:2/main":      {addrs: "s1:1 s2:2", master: "main", tls: true},
		"redis+cluster://n1:1,n2":               nil,
		"redis+cluster://n1:1/3":                nil,
		"redis+cluster://":                      nil,
		"redis+sentinel://s1:1":                 nil,
		"redis+sentinel://s1:1/main/x":          nil,
		"redis+sentinel://s1:/main":             nil,
		"redis://r:6379/0?pool_size=1":          nil,
		"http://secret@r:6379":                  nil,
		"redisss://r:6379":                      nil,
		"redis+cluster://a:secret%zz@n1:1":      nil,
		"redis://a:secret@r:port/0":             nil,
	} {
		config, err := settings(t, func(s *bridge.Settings) { s.EntraClientSecret, s.RedisURL = "x", url }).Config()
		if want == nil {
			if err == nil || !strings.HasPrefix(err.Error(), "REDIS_URL: ") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want a fault that does not repeat it", url, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		o := config.Redis
		got := means{strings.Join(o.Addrs, " "), o.Username, o.Password, o.MasterName, o.DB, o.IsClusterMode,
			o.TLSConfig != nil}
		if got != *want {
			t.Errorf("%s: %+v, want %+v", url, got, *want)
		}
		if o.TLSConfig != nil && (o.TLSConfig.InsecureSkipVerify || o.TLSConfig.MinVersion < tls.VersionTLS12) {
			t.Errorf("%s: TLS that checks too little", url)
		}
		if o.MasterName != "" && (o.SentinelUsername != o.Username || o.SentinelPassword != o.Password) {
			t.Errorf("%s: the sentinels get another password", url)
		}
		if !o.ContextTimeoutEnabled || o.ReadTimeout <= 0 || o.WriteTimeout <= 0 || o.DialTimeout <= 0 {
			t.Errorf("%s: something is not bounded", url)
		}
	}
}
