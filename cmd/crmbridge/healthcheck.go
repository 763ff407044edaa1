package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// healthcheckCommand asks a crmbridge on this machine how it is.
type healthcheckCommand struct {
	AdminAddr string        `name:"admin-addr" env:"ADMIN_ADDR" default:"127.0.0.1:8081" placeholder:"ADDR" help:"ADMIN_ADDR of the crmbridge to ask: ${default}."`
	Live      bool          `help:"Ask whether the process runs (/healthz), not whether it can answer requests (/readyz)."`
	Exclude   []string      `placeholder:"NAME" sep:"none" predictor:"check" help:"Leave a check out of the verdict: nats, subscriptions, jetstream, redis or draining. May be repeated."`
	JSON      bool          `name:"json" help:"Print the answer as JSON: whether it is ready, and each line of it."`
	Timeout   time.Duration `default:"5s" help:"How long the answer may take: ${default}."`
}

// Help is the end of the command's help text.
func (c *healthcheckCommand) Help() string {
	return `Asks the crmbridge of the same container, which needs no shell and no curl. Exit status: 0 for yes, 1
for no or no answer.

Examples:
  crmbridge healthcheck
  crmbridge healthcheck --live
  crmbridge healthcheck --exclude redis

In a Dockerfile:
  HEALTHCHECK CMD ["/crmbridge", "healthcheck", "--live"]
`
}

// maxHealth bounds what is read of an answer, in bytes.
const maxHealth = 64 << 10

// Run asks once and prints the answer.
func (c *healthcheckCommand) Run(ctx context.Context, std *stdio) error {
	address, err := c.address()
	if err != nil {
		return fmt.Errorf("%w: --admin-addr: %w", bridge.ErrUsage, err)
	}
	if c.Timeout <= 0 || c.Timeout > time.Minute {
		return fmt.Errorf("%w: --timeout: must be a duration above 0s and up to 1m such as 5s", bridge.ErrUsage)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%w: --admin-addr: %w", bridge.ErrUsage, err)
	}
	// Never by a proxy: it is this machine that is asked.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return fmt.Errorf("no crmbridge answers at %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealth))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", request.URL.Host, err)
	}
	text := strings.TrimRight(string(body), "\n")
	if c.JSON {
		answer := struct {
			OK    bool     `json:"ok"`
			Lines []string `json:"lines"`
		}{response.StatusCode == http.StatusOK, strings.Split(text, "\n")}
		if err := term.JSON(std.out, answer); err != nil || answer.OK {
			return err
		}
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %d\n%s", request.URL.Host, response.StatusCode, safeLines(text))
	}
	_, err = fmt.Fprintln(std.out, safeLines(text))
	return err
}

// address is the URL to ask. A crmbridge that listens on all addresses listens on
// the loopback one too.
func (c *healthcheckCommand) address() (string, error) {
	addr := c.AdminAddr
	if addr == "" { // a variable that is set to nothing means the default
		addr = "127.0.0.1:8081"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return "", errors.New("must be an address such as 127.0.0.1:8081 or :8081")
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	at := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/readyz"}
	if c.Live {
		at.Path = "/healthz"
		return at.String(), nil
	}
	query := url.Values{"verbose": {""}}
	for _, name := range c.Exclude {
		query.Add("exclude", name)
	}
	at.RawQuery = query.Encode()
	return at.String(), nil
}

// safeLines keeps the lines and makes each harmless on a terminal.
func safeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = term.Safe(line)
	}
	return strings.Join(lines, "\n")
}
