package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// demo is the connection that is made at the start.
const demo = "demo"

// develop starts everything, does the main job once, and stays up until ctx ends.
func develop(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return bridge.ConfigurationError(fmt.Errorf("--log-level must be debug, info, warn or error"))
	}
	for _, port := range []*int{&o.HTTPPort, &o.AdminPort} {
		release, err := devenv.Reserve(port)
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // it holds nothing that anybody misses
	}
	if o.Accounts == 0 {
		o.Accounts = -1 // the emulator's word for none
	}
	log := bridge.NewLog(stderr, level, "text")
	bridge.QuietRedis(log)
	with, err := devenv.Start(devenv.Ports{NATS: o.NATSPort, Redis: o.RedisPort, Emulator: o.EmulatorPort},
		emulator.Options{Accounts: o.Accounts, AutoConsent: o.AutoConsent, Logger: log, Latency: o.Latency,
			RedirectURIs: []string{publicURL(o) + "/oauth/callback"}, AccessTokenLifetime: o.AccessTokenLifetime, Limits: o.limits()}, nil)
	if err != nil {
		return err
	}
	defer func() { err = joinStop(err, with.Stop()) }()
	settings, err := settingsFor(o, with)
	if err != nil {
		return err
	}
	faults, err := o.faults()
	if err != nil {
		return bridge.ConfigurationError(err)
	}
	if o.NoConsumer {
		fail(with, faults)
		printSettings(stdout, settings)
		<-ctx.Done()
		return nil
	}
	for name, port := range map[string]int{"--http-port": o.HTTPPort, "--admin-port": o.AdminPort} {
		if err := devenv.Free("crmbridge's pages", name, port); err != nil {
			return err
		}
	}
	config, err := settings.Config()
	if err != nil {
		return err
	}
	consumer, err := bridge.Start(ctx, config, log)
	if err != nil {
		return err
	}
	defer func() { err = joinStop(err, consumer.Stop()) }()
	if err := mainJob(ctx, with, stdout); err != nil {
		return err
	}
	if o.Once {
		return nil
	}
	fail(with, faults) // only now, or they would strike the connecting
	printNext(stdout, o, with)
	select {
	case <-ctx.Done():
		return nil
	case err := <-consumer.Failed():
		return err
	}
}

// fail hands the faults to the emulator.
func fail(with *devenv.Services, faults []emulator.Fault) {
	for _, f := range faults {
		with.Emulator.Control().Fail(f)
	}
}

// joinStop keeps the first error: what a stop says after another is noise.
func joinStop(err, stopped error) error {
	if err != nil {
		return err
	}
	return stopped
}

// mainJob connects demo, searches accounts over NATS and prints them.
func mainJob(ctx context.Context, with *devenv.Services, stdout io.Writer) error {
	nc, err := bridge.ConnectNATS(bridge.NATS{URL: with.NATSURL}, "crmbridge-dev")
	if err != nil {
		return err
	}
	defer nc.Close()
	ask := messages.NewClient(nc)
	if err := signin.Connect(ctx, ask, demo, with.EmulatorURL, emulator.DefaultUser); err != nil {
		return fmt.Errorf("connect %s: %w", demo, err)
	}
	fields := []string{"name", "city", "country", "industry", "employees", "revenue"}
	where := messages.Leaf("industry", messages.Eq, "Consulting")
	page, err := ask.Search(ctx, messages.AccountsSearchRequest{Target: messages.Target{Connection: demo},
		Where: &where, Fields: fields, OrderBy: []string{"-revenue"}, PageSize: 10, IncludeTotal: true})
	if err != nil {
		return fmt.Errorf("search accounts: %w", err)
	}
	fmt.Fprintf(stdout, "Connection %q is made. The %d consulting companies with the highest revenue, of %d, as they came over NATS:\n\n",
		demo, len(page.Accounts), total(page))
	return term.Accounts(stdout, fields, page.Accounts)
}

func total(page *messages.AccountsPage) int64 {
	if page.Total == nil {
		return int64(len(page.Accounts))
	}
	return *page.Total
}

// settingsFor are the settings of a crmbridge beside these services.
func settingsFor(o options, with *devenv.Services) (bridge.Settings, error) {
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		return bridge.Settings{}, err
	}
	return bridge.Settings{
		NATS: bridge.NATS{URL: with.NATSURL}, RedisURL: with.RedisURL, TokenKeyset: string(keyset),
		EntraClientID: emulator.DefaultClientID, EntraClientSecret: emulator.DefaultClientSecret,
		EntraAuthorityURL: with.EmulatorURL, PublicURL: publicURL(o),
		HTTPAddr: devenv.Address(o.HTTPPort), AdminAddr: devenv.Address(o.AdminPort),
		BusCompletion: bridge.Switch(strconv.FormatBool(o.BusCompletion)), ReplySubjects: o.ReplySubjects,
		AllowedHosts: strings.TrimPrefix(with.EmulatorURL, "http://"), AllowHTTP: "true", APIVersion: "v9.2",
		MaxInFlight: "256", UserConcurrency: "40", ShutdownGrace: "30s", LogLevel: o.LogLevel, LogFormat: "auto",
	}, nil
}

// printSettings prints what a crmbridge serve needs to run beside these services.
func printSettings(to io.Writer, s bridge.Settings) {
	for _, pair := range [][2]string{
		{"NATS_URL", s.URL}, {"REDIS_URL", s.RedisURL}, {"TOKEN_KEYSET", s.TokenKeyset},
		{"ENTRA_CLIENT_ID", s.EntraClientID}, {"ENTRA_CLIENT_SECRET", s.EntraClientSecret},
		{"ENTRA_AUTHORITY_URL", s.EntraAuthorityURL}, {"PUBLIC_URL", s.PublicURL},
		{"HTTP_ADDR", s.HTTPAddr}, {"ADMIN_ADDR", s.AdminAddr}, {"BUS_COMPLETION", string(s.BusCompletion)},
		{"REPLY_SUBJECTS", s.ReplySubjects}, {"DYNAMICS_ALLOWED_HOSTS", s.AllowedHosts}, {"DYNAMICS_ALLOW_HTTP", string(s.AllowHTTP)},
	} {
		fmt.Fprintf(to, "export %s='%s'\n", pair[0], pair[1])
	}
}

func printNext(to io.Writer, o options, with *devenv.Services) {
	fmt.Fprintf(to, `
Everything is up until you interrupt it:
  NATS      %s
  Redis     %s
  Dataverse %s (and Entra ID; emulated)
  crmbridge http://localhost:%d, metrics http://localhost:%d/metrics

Try, in another terminal:
  export NATS_URL=%s
  go run ./cmd/crmbridge accounts search demo --where 'city = London and employees >= 50' --fields name,city,owner
  go run ./cmd/crmbridge accounts count demo --where 'industry in (Consulting, Accounting) and website is not null'
  go run ./cmd/crmbridge users whoami demo
  go run ./cmd/crmbridge connect second %s
  go run github.com/nats-io/natscli/nats@latest req crm.accounts.search.request \
    '{"connection":"demo","where":{"field":"industry","op":"eq","value":"Consulting"}}'
  go run github.com/nats-io/natscli/nats@latest micro stats crmbridge
`, with.NATSURL, with.RedisURL, with.EmulatorURL, o.HTTPPort, o.AdminPort, with.NATSURL, with.EmulatorURL)
}

// publicURL is where people reach the connect page.
func publicURL(o options) string { return "http://localhost:" + strconv.Itoa(o.HTTPPort) }
