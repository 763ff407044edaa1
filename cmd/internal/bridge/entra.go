package bridge

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// credential reads how the application proves itself at Entra: by exactly one of
// a secret, a certificate and a federated token. The platform's own variable for
// the last counts where nothing else is set, since it is there unasked.
func (r *reader) credential(s Settings, config *Config) {
	secret := s.secret(r, "ENTRA_CLIENT_SECRET", s.EntraClientSecret, s.EntraClientSecretFile)
	certificate, federated := s.EntraClientCertificateFile, s.EntraFederatedTokenFile
	if secret == "" && certificate == "" && federated == "" {
		federated = s.AzureFederatedTokenFile
	}
	set := 0
	for _, way := range []string{secret, certificate, federated} {
		if way != "" {
			set++
		}
	}
	switch {
	case set == 0:
		r.fault("ENTRA_CLIENT_SECRET", "is missing; it is the value (not the id) of a client secret of the Entra "+
			"app registration. ENTRA_CLIENT_CERTIFICATE_FILE or ENTRA_FEDERATED_TOKEN_FILE can stand in its place")
	case set > 1:
		r.fault("ENTRA_CLIENT_SECRET", "more than one of ENTRA_CLIENT_SECRET, ENTRA_CLIENT_CERTIFICATE_FILE and "+
			"ENTRA_FEDERATED_TOKEN_FILE is set; set exactly one of them")
	case certificate != "":
		r.bare(tokens.CheckCertificateFile(certificate))
	case federated != "":
		err := tokens.CheckFederatedTokenFile(federated)
		if err != nil && s.EntraFederatedTokenFile == "" {
			err = fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE, which the platform set and stands for %w", err)
		}
		r.bare(err)
	}
	config.ClientSecret = tokens.Secret(secret)
	config.ClientCertificateFile, config.FederatedTokenFile = certificate, federated
}

// bare takes a fault that names its variable already.
func (r *reader) bare(err error) {
	if err != nil {
		r.faults = append(r.faults, err)
	}
}

// maxAppConnections bounds APP_CONNECTIONS_FILE in bytes.
const maxAppConnections = 4 << 20

// appConnection is one entry of APP_CONNECTIONS_FILE.
type appConnection struct {
	Connection     string `json:"connection"`
	EnvironmentURL string `json:"environment_url"`
}

// appConnections reads which connections may act as the application itself, and
// in which environment. hosts is nil where the host settings have faults already.
func (r *reader) appConnections(file string, hosts *dynamics.HostPolicy) map[string]string {
	if file == "" {
		return nil
	}
	const name = "APP_CONNECTIONS_FILE"
	entries, err := readAppConnections(file)
	if err != nil {
		r.fault(name, "%w", err)
		return nil
	}
	pairs := make(map[string]string, len(entries))
	for i, entry := range entries {
		at := fmt.Sprintf("%s: entry %d", file, i+1)
		if !messages.ValidConnection(entry.Connection) {
			r.fault(name, "%s: connection is not a connection id: 1 to 64 letters, digits, _ and -", at)
			continue
		}
		if _, twice := pairs[entry.Connection]; twice {
			r.fault(name, "%s: connection %s is listed twice; it belongs to one environment", at, entry.Connection)
		}
		pairs[entry.Connection] = ""
		if hosts == nil {
			continue
		}
		environment, err := hosts.Environment(entry.EnvironmentURL)
		if err != nil {
			r.fault(name, "%s (%s): environment_url: %w", at, entry.Connection, err)
		}
		pairs[entry.Connection] = environment
	}
	return pairs
}

func readAppConnections(file string) ([]appConnection, error) {
	content, err := files.ReadSecret(file, maxAppConnections)
	if err != nil {
		return nil, err
	}
	var entries []appConnection
	if err := json.Unmarshal(content, &entries, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s must be JSON of the form "+
			`[{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com"}]: %w`, file, err)
	}
	if entries == nil {
		return nil, errors.New(file + ` holds null; an empty list is []`)
	}
	return entries, nil
}
