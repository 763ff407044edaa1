package bridge

import (
	"fmt"
	"os"
)

// Exposed are the files with secrets that everybody on this machine may read, each with what is to be
// said of it. That is no fault: the folder may keep others off, and a container has no others. A
// federated token is no person's file: the platform writes it, and has it expire.
func (s Settings) Exposed() []string {
	var said []string
	for _, secret := range [...][2]string{
		{"NATS_URL_FILE", s.URLFile}, {"NATS_CREDS", s.Creds}, {"NATS_TLS_KEY", s.TLSKey},
		{"REDIS_URL_FILE", s.RedisURLFile}, {"TOKEN_KEYSET_FILE", s.TokenKeysetFile},
		{"ENTRA_CLIENT_SECRET_FILE", s.EntraClientSecretFile},
		{"ENTRA_CLIENT_CERTIFICATE_FILE", s.EntraClientCertificateFile},
		{"CONSOLE_PASSWORD_FILE", s.ConsolePasswordFile},
	} {
		if secret[1] == "" {
			continue
		}
		info, err := os.Stat(secret[1])
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
			said = append(said, fmt.Sprintf("%s: everybody who gets to %s may read it (mode %04o)", secret[0], secret[1],
				info.Mode().Perm()))
		}
	}
	return said
}
