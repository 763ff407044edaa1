package tokens

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// Operator is who runs crmbridge, as people at the connect page see it. All of it may
// be empty.
type Operator struct {
	Name string // at most 100 bytes
	URL  string // page that says how what is read is handled; https
	// Logo is a picture of LogoType, see [ReadLogo].
	Logo     []byte
	LogoType string
}

// maxLogo bounds a logo in bytes.
const maxLogo = 256 << 10

// logoTypes are those that no browser runs anything of. SVG is none of them.
var logoTypes = map[string]bool{"image/png": true, "image/jpeg": true, "image/webp": true, "image/gif": true}

// ReadLogo reads a picture: PNG, JPEG, WebP or GIF by its content, of at most 256 KiB.
func ReadLogo(file string) (logo []byte, kind string, err error) {
	if logo, err = readSmall(file, maxLogo); err != nil {
		return nil, "", err
	}
	if kind = http.DetectContentType(logo); !logoTypes[kind] {
		return nil, "", fmt.Errorf("%s is no PNG, JPEG, WebP or GIF", file)
	}
	return logo, kind, nil
}

// check refuses what must not stand on a page.
func (o Operator) check() error {
	if err := CheckOperatorName(o.Name); err != nil {
		return fmt.Errorf("OPERATOR_NAME %w", err)
	}
	if err := CheckOperatorURL(o.URL); err != nil {
		return fmt.Errorf("OPERATOR_URL %w", err)
	}
	if len(o.Logo) > 0 && !logoTypes[o.LogoType] {
		return errors.New("OPERATOR_LOGO_FILE must be a PNG, JPEG, WebP or GIF")
	}
	return nil
}

// CheckOperatorName checks a name for the pages.
func CheckOperatorName(name string) error {
	if len(name) > 100 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(c rune) bool {
		return unicode.IsControl(c) || unicode.Is(unicode.Cf, c)
	}) {
		return errors.New("must be a name of at most 100 bytes on one line, without blanks around it")
	}
	return nil
}

// CheckOperatorURL checks the address of a page.
func CheckOperatorURL(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(address) > 2000 {
		return errors.New("must be the https address of a page, such as https://example.com/privacy")
	}
	return nil
}

// Names are what an environment calls a user and itself; "" is not known.
type Names struct{ User, UserFull, Organization string }

// maxName bounds a name in bytes; Dataverse's longest is a user name's 1,024.
const maxName = 1 << 10

// named is c with the names that are known, cleaned of what would turn or break a
// line.
func (c Connection) named(n Names) Connection {
	for _, name := range []struct {
		at    *string
		given string
	}{{&c.UserName, n.User}, {&c.UserFullName, n.UserFull}, {&c.OrganizationName, n.Organization}} {
		if clean := cleanName(name.given); clean != "" {
			*name.at = clean
		}
	}
	return c
}

func cleanName(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029' {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return strings.TrimSpace(s)
}

// isNamed reports whether everything has a name.
func (c Connection) isNamed() bool {
	return c.UserName != "" && c.UserFullName != "" && c.OrganizationName != ""
}
