package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/tokens"
)

const (
	entraPage = "deploy/README.md#connecting-a-real-tenant"
	// certificateSoon is when a new certificate should be registered.
	certificateSoon = 30 * 24 * time.Hour
	// Entra takes assertions and sign-ins of a clock that is wrong by up to five minutes.
	clockOff   = 5 * time.Second
	clockWrong = 5 * time.Minute
	// mostOfPage bounds what is read of a page.
	mostOfPage = 256 << 10
)

func (d *Doctor) checkEntra(ctx context.Context) {
	if !d.usable("entra.authority", "ENTRA_AUTHORITY_URL", "DYNAMICS_ALLOW_HTTP") {
		return
	}
	if d.checkAuthority(ctx) {
		d.checkCredential(ctx)
	} else {
		d.skipped("entra.credential", "not looked at: Entra cannot be asked")
	}
	d.checkCertificate()
}

// checkAuthority asks for the description that every authority has, and compares clocks.
func (d *Doctor) checkAuthority(ctx context.Context) bool {
	const remedy = "let crmbridge reach it (DNS, firewall, HTTPS_PROXY, its certificate), or mend " +
		"ENTRA_AUTHORITY_URL; see " + settingsPage
	address := d.config.AuthorityURL + "/organizations/v2.0/.well-known/openid-configuration"
	begun := time.Now()
	page, err := visit(ctx, address)
	took := time.Since(begun)
	if err != nil {
		d.failed("entra.authority", d.config.AuthorityURL+" does not answer: "+cause(err), remedy)
		return false
	}
	var described struct {
		Endpoint string `json:"token_endpoint"`
	}
	if page.status != http.StatusOK || json.Unmarshal(page.body, &described) != nil || described.Endpoint == "" {
		d.failed("entra.authority", fmt.Sprintf("%s is no authority of Entra ID: it answers %d",
			d.config.AuthorityURL, page.status), remedy)
		return false
	}
	d.passed("entra.authority", "%s answers", d.config.AuthorityURL)
	d.checkClock(page.header.Get("Date"), begun.Add(took/2))
	return true
}

// checkClock compares this machine's clock, as it was in the middle of the exchange, with
// that of Entra, which tells whole seconds.
func (d *Doctor) checkClock(date string, now time.Time) {
	const remedy = "keep this machine in time: timedatectl set-ntp true"
	theirs, err := http.ParseTime(date)
	if err != nil {
		d.skipped("clock", "not compared: Entra's answer has no date")
		return
	}
	off := now.Sub(theirs.Add(500 * time.Millisecond))
	words := fmt.Sprintf("this machine's clock is %s ahead of Entra's", off.Round(time.Second))
	if off < 0 {
		words = fmt.Sprintf("this machine's clock is %s behind Entra's", (-off).Round(time.Second))
	}
	switch {
	case off.Abs() > clockWrong:
		d.failed("clock", words+": Entra refuses what such a clock signs, and the ends of tokens are misjudged", remedy)
	case off.Abs() > clockOff:
		d.warned("clock", words, remedy)
	default:
		d.passed("clock", "agrees with Entra's")
	}
}

// checkCredential asks for a token that is thrown away.
func (d *Doctor) checkCredential(ctx context.Context) {
	if !d.usable("entra.credential", "ENTRA_CLIENT", "ENTRA_FEDERATED", "AZURE_FEDERATED") {
		return
	}
	entra, err := tokens.NewEntra(tokens.EntraConfig{
		Authority: d.config.AuthorityURL, ClientID: d.config.ClientID, ClientSecret: d.config.ClientSecret,
		ClientCertificateFile: d.config.ClientCertificateFile, FederatedTokenFile: d.config.FederatedTokenFile,
		AllowHTTP: d.config.AllowHTTP, Timeout: doctorWait,
	})
	if err != nil {
		d.failed("entra.credential", err.Error(), "see "+entraPage)
		return
	}
	defer entra.Close()
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	err = entra.TryCredential(ctx, d.sample.TenantID, d.sample.EnvironmentURL)
	switch {
	case tokens.CodeOf(err) == tokens.CodeConfigurationError:
		d.failed("entra.credential", err.Error(), "mend ENTRA_CLIENT_ID, or what proves the application "+
			"(ENTRA_CLIENT_SECRET, its certificate or federated token), at Entra or here; see "+entraPage)
	case err != nil:
		d.warned("entra.credential", "it is not known whether Entra accepts it: "+err.Error(), "run crmbridge doctor again")
	case d.sample.TenantID == "":
		d.passed("entra.credential", "not refused, as far as can be told before there is a connection")
	default:
		d.passed("entra.credential", "accepted in directory %s", d.sample.TenantID)
	}
}

func (d *Doctor) checkCertificate() {
	if d.config.ClientCertificateFile == "" || !d.usable("entra.certificate", "ENTRA_CLIENT_CERTIFICATE") {
		return
	}
	end, err := tokens.CertificateEnd(d.config.ClientCertificateFile)
	if err != nil {
		d.failed("entra.certificate", err.Error(), "see "+entraPage)
		return
	}
	words := "the certificate ends on " + end.UTC().Format(time.DateOnly)
	if time.Until(end) < certificateSoon {
		d.warned("entra.certificate", words, "register a new certificate at Entra and put it into "+
			"ENTRA_CLIENT_CERTIFICATE_FILE; see "+entraPage)
		return
	}
	d.passed("entra.certificate", "%s", words)
}

// checkPublicURL asks for a page that no other program has.
func (d *Doctor) checkPublicURL(ctx context.Context) {
	const page = "deploy/README.md#settings"
	if !d.usable("public_url", "PUBLIC_URL") {
		return
	}
	if d.processes == 0 {
		d.skipped("public_url", "not looked at: no crmbridge runs, as far as Redis knows")
		return
	}
	remedy := "lead " + d.config.PublicURL + " to HTTP_ADDR of crmbridge (DNS, ingress, proxy), or mend " +
		"PUBLIC_URL; see " + page
	got, err := visit(ctx, d.config.PublicURL+"/connect/doctor")
	switch {
	case err != nil && d.processes < 0:
		d.skipped("public_url", "not looked at: nobody knows whether a crmbridge runs")
	case err != nil:
		d.failed("public_url", d.config.PublicURL+" cannot be reached from here: "+cause(err), remedy)
	case got.header.Get("X-Robots-Tag") != "noindex" || got.header.Get("Content-Security-Policy") == "":
		d.failed("public_url", fmt.Sprintf("%s is answered by another program (status %d)", d.config.PublicURL, got.status),
			remedy)
	default:
		d.passed("public_url", "%s leads to crmbridge", d.config.PublicURL)
	}
}

// visited is what came of a visit.
type visited struct {
	status int
	header http.Header
	body   []byte
}

// visit gets a page without following anything.
func visit(ctx context.Context, address string) (visited, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return visited{}, err
	}
	request.Header.Set("User-Agent", "crmbridge-doctor/"+version)
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: tlsFor("")}
	client := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // its text repeats the address
		}
		return visited{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostOfPage))
	return visited{response.StatusCode, response.Header, body}, err
}
