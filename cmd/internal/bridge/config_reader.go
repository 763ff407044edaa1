package bridge

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/tokens"
)

// reader collects the faults of all settings.
type reader struct {
	faults []error
	files  map[string]bool // the settings whose value a file held
}

func (r *reader) fault(name, format string, args ...any) {
	if r.files[name] {
		name += "_FILE"
	}
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
	content, err := files.ReadSecret(file, mostSecret)
	if err != nil {
		r.fault(name+"_FILE", "%w", err)
		return unreadable
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		r.fault(name+"_FILE", "%s is empty", file)
		return unreadable
	}
	r.fromFile(name)
	return text
}

// fromFile keeps that a file held a setting: faults name the file's, and repeat nothing of it.
func (r *reader) fromFile(name string) {
	if r.files == nil {
		r.files = map[string]bool{}
	}
	r.files[name] = true
}

// mostSecret bounds a file that holds a setting, in bytes.
const mostSecret = 1 << 20

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
