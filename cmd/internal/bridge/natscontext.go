package bridge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// ClientNATS are the settings by which a command that asks reaches NATS. Each setting counts in
// this order: flag, variable, the context of the flag --context, that of NATS_CONTEXT, the one
// that the nats CLI has selected, the default. Who is connected as is one setting: where a URL
// names a user, or a credentials file is given, nothing of that is taken from a context. A
// context that nobody named is not looked at where a URL is given: its password is for other
// servers.
type ClientNATS struct {
	NATS
	Context string `name:"context" env:"NATS_CONTEXT" placeholder:"NAME" predictor:"context" help:"Context of the nats CLI for what is not given otherwise. Default: the one that is selected there, unless a URL is given."`
}

// AfterApply says where the servers are not those of a context that is named too.
func (c ClientNATS) AfterApply(parsed *kong.Context) error {
	typed := slices.ContainsFunc(parsed.Path, func(step *kong.Path) bool {
		return step.Flag != nil && !step.Resolved && (step.Flag.Name == "nats-url" || step.Flag.Name == "nats-url-file")
	})
	if c.Context == "" || typed {
		return nil
	}
	variable := "NATS_URL"
	switch {
	case c.URLFile != "":
		variable = "NATS_URL_FILE"
	case c.URL == "":
		return nil
	}
	_ = term.Prose(parsed.Stderr, 2, fmt.Sprintf("%s is set: its servers are asked, not those of the context %s", variable,
		term.Safe(c.Context))) // where stderr takes nothing, there is nobody to tell
	return nil
}

// Connect connects a client command; it fails where no server answers.
func (c ClientNATS) Connect(name string, more ...nats.Option) (*nats.Conn, error) {
	found, err := c.context()
	if err != nil {
		return nil, ConfigurationError(err)
	}
	return c.connectAs(found, name, more...)
}

// connectAs connects with what a context says besides; nil is none.
func (c ClientNATS) connectAs(found *contextOptions, name string, more ...nats.Option) (*nats.Conn, error) {
	s, err := c.NATS.read()
	if err != nil {
		return nil, ConfigurationError(err)
	}
	if found == nil {
		return ConnectNATS(s, name, more...)
	}
	ownUser := s.Creds != "" || namesUser(s)
	if s.URL == "" && s.URLFile == "" {
		s.URL = strings.Join(found.Servers, ",")
	}
	base := func(o *nats.Options) error {
		found.apply(o, !ownUser)
		return nil
	}
	return connectNATS(s, name, []nats.Option{base}, more...)
}

// namesUser reports whether the URLs of flags or variables have a user or token in them.
func namesUser(s NATS) bool {
	return strings.Contains(s.URL, "@")
}

// read takes the URLs from their file, once: it may be a pipe, of which nothing would be left.
func (s NATS) read() (NATS, error) {
	if s.URLFile == "" {
		return s, nil
	}
	var r reader
	text := r.natsURL(s)
	if len(r.faults) > 0 {
		return s, errors.Join(r.faults...)
	}
	s.URL, s.URLFile, s.fromFile = text, "", true
	return s, nil
}

// contextOptions are what a context says.
type contextOptions struct{ nats.Options }

// apply sets what the context says, without its user where that is given otherwise.
func (c *contextOptions) apply(o *nats.Options, user bool) {
	o.Secure, o.TLSConfig, o.TLSHandshakeFirst = c.Secure, c.TLSConfig, c.TLSHandshakeFirst
	o.RootCAsCB, o.TLSCertCB = c.RootCAsCB, c.TLSCertCB
	o.CustomDialer, o.InboxPrefix = c.CustomDialer, c.InboxPrefix
	if user {
		o.User, o.Password, o.Token = c.User, c.Password, c.Token
		o.UserJWT, o.SignatureCB, o.Nkey = c.UserJWT, c.SignatureCB, c.Nkey
	}
}

// context reads the context that counts; nil where there is none.
func (c ClientNATS) context() (*contextOptions, error) {
	if c.Context != "" {
		found, err := readContext(c.Context)
		if err != nil {
			return nil, fmt.Errorf("NATS_CONTEXT: %q: %w", c.Context, err)
		}
		return found, nil
	}
	if c.URL != "" || c.URLFile != "" {
		return nil, nil
	}
	name := selectedContext()
	if name == "" {
		return nil, nil
	}
	found, err := readContext(name)
	if err != nil {
		return nil, fmt.Errorf("NATS_CONTEXT: %q, which the nats CLI has selected: %w; pass it over with --nats-url or "+
			"NATS_URL, or select another with 'nats context select'", name, err)
	}
	return found, nil
}

// errRead ends natscontext's connecting before it begins: only what it would connect with is wanted.
var errRead = errors.New("the context has been read")

// readContext reads a context by its name, or by the whole path of a file.
func readContext(name string) (*contextOptions, error) {
	if err := checkContext(name); err != nil {
		return nil, err
	}
	var found contextOptions
	_, _, err := natscontext.Connect(name, func(o *nats.Options) error {
		found.Options = *o
		return errRead
	})
	if !errors.Is(err, errRead) {
		return nil, contextCause(err)
	}
	if found.UserJWT != nil { // read by the client library with each connection only
		if err := readable(found.Options); err != nil {
			return nil, err
		}
	}
	return &found, nil
}

// readable tries the credentials that a file holds.
func readable(o nats.Options) error {
	_, err := o.UserJWT()
	if err == nil {
		_, err = o.SignatureCB([]byte("nonce"))
	}
	if err != nil {
		return fmt.Errorf("its credentials file holds no user's JWT and key: %w", contextCause(err))
	}
	return nil
}

// contextCause is an error of a library without the library's name.
func contextCause(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "nats: "); ok {
		return errors.New(text)
	}
	return err
}

// checkContext finds what natscontext passes over in silence: a connection without its user
// would be refused, or be somebody else.
func checkContext(name string) error {
	file := name
	if !filepath.IsAbs(name) {
		known := Contexts()
		file = filepath.Join(contextsFolder(), "context", name+".json")
		if _, err := os.Stat(file); err != nil || strings.ContainsAny(name, `/\`) || strings.Contains(name, "..") {
			return noContext(name, known)
		}
	}
	content, err := files.Read(file, mostSecret)
	if err != nil {
		return err
	}
	var s natscontext.Settings
	if err := json.Unmarshal(content, &s); err != nil {
		return fmt.Errorf("%s is no context: %w", file, err)
	}
	switch {
	case s.NSCLookup != "" || strings.HasPrefix(s.Creds, "nsc://"):
		return errors.New("it takes its user from nsc; give it a file with 'nsc generate creds' and 'nats context edit'")
	case elsewhere(s.Creds, s.NKey, s.Password, s.Token, s.CA, s.Cert, s.Key):
		return errors.New("it refers to a secret or a file by a URI; give it the secret, or the path of the file")
	case s.UserJwt != "" && s.Creds == "" && s.User == "":
		return errors.New("it has a user_jwt; give it a credentials file in place of that")
	case s.WinCertStoreType != "":
		return errors.New("it takes certificates from a Windows store; give it files in place of that")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("its cert and key go together; one of them is missing")
	case s.SocksProxy != "":
		if u, err := url.Parse(s.SocksProxy); err != nil || u.Host == "" {
			return errors.New("its socks_proxy is no URL such as socks5://127.0.0.1:1080")
		}
	}
	return cmp.Or(files.Check(s.Creds), files.Check(s.NKey), files.Check(s.CA), files.Check(s.Cert), files.Check(s.Key))
}

// elsewhere reports whether one of the values is such a URI as newer versions of the nats CLI take
// in place of it (package natscontext of jsm.go).
func elsewhere(values ...string) bool {
	return slices.ContainsFunc(values, func(value string) bool {
		scheme, _, _ := strings.Cut(strings.ToLower(value), ":")
		return oneOf(scheme, "file", "env", "op", "data") && scheme != strings.ToLower(value)
	})
}

// noContext is the error for a context that there is not.
func noContext(name string, known []string) error {
	if len(known) == 0 {
		return errors.New("there is no such context, nor any other; 'nats context save' makes them")
	}
	const most = 3
	if near := messages.Nearest(name, known, most); len(near) > 0 {
		return fmt.Errorf("there is no such context; did you mean %s?", strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no such context; there are %s", strings.Join(known, ", "))
}

// contextsFolder is where the nats CLI keeps its contexts, "" where this user has no such place.
func contextsFolder() string {
	if parent := os.Getenv("XDG_CONFIG_HOME"); parent != "" {
		return filepath.Join(parent, "nats")
	}
	me, err := user.Current()
	if err != nil || me.HomeDir == "" {
		return ""
	}
	return filepath.Join(me.HomeDir, ".config", "nats")
}

// selectedContext is the name of the context that the nats CLI has selected, "" where none is.
func selectedContext() string {
	folder := contextsFolder()
	if folder == "" {
		return ""
	}
	content, err := files.Read(filepath.Join(folder, "context.txt"), mostSecret)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// Contexts are the contexts of the nats CLI that there are, in the order of their names.
func Contexts() []string {
	folder := contextsFolder()
	if folder == "" {
		return nil
	}
	files, err := os.ReadDir(filepath.Join(folder, "context"))
	if err != nil {
		return nil
	}
	var names []string
	for _, file := range files {
		if name, ok := strings.CutSuffix(file.Name(), ".json"); ok && !file.IsDir() {
			names = append(names, name)
		}
	}
	return names
}
