package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
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

// Run starts everything, does the main job once, and stays up until ctx ends.
func (o *options) Run(ctx context.Context, std *outputs) (err error) {
	d, err := o.prepare(std)
	if err != nil {
		return err
	}
	defer func() { err = joinStop(err, d.stop()) }()
	if err := d.up(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if !o.NoConsumer {
		if err := d.mainJob(ctx); err != nil || o.Once {
			return interrupted(ctx, err)
		}
	}
	return d.wait(ctx)
}

// interrupted is err, or nil where ctx has ended, which is what people who interrupt
// the program want.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// A development is one run of the program.
type development struct {
	options  *options
	std      *outputs
	log      *slog.Logger
	faults   []emulator.Fault
	services *devenv.Services
	settings bridge.Settings // of a crmbridge that uses the services
	consumer *bridge.Bridge  // nil with --no-consumer
	closers  []func() error  // of what has been started, in that order
}

// prepare reads the flags and takes the ports of crmbridge itself; nothing runs yet.
func (o *options) prepare(std *outputs) (*development, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, bridge.ConfigurationError(fmt.Errorf("--log-level must be debug, info, warn or error"))
	}
	faults, err := o.faults()
	if err != nil {
		return nil, bridge.ConfigurationError(err)
	}
	d := &development{options: o, std: std, log: bridge.NewLog(std.err, level, "text"), faults: faults}
	if err := o.portsFree(); err != nil {
		return nil, err
	}
	for _, port := range []*int{&o.HTTPPort, &o.AdminPort, &o.ConsolePort} {
		release, err := devenv.Reserve(port)
		if err != nil {
			return nil, joinStop(err, d.stop())
		}
		d.closers = append(d.closers, func() error { _ = release(); return nil }) // it holds nothing that anybody misses
	}
	return d, nil
}

// portsFree names every port that cannot be had, with what to do, before anything is started.
func (o *options) portsFree() error {
	var taken []error
	for _, part := range []struct {
		what, flag string
		port       int
		wanted     bool
	}{
		{"NATS", "--nats-port", o.NATSPort, true}, {"Redis", "--redis-port", o.RedisPort, true},
		{"the emulated Dataverse", "--emulator-port", o.EmulatorPort, true},
		{"crmbridge's pages", "--http-port", o.HTTPPort, !o.NoConsumer},
		{"crmbridge's metrics", "--admin-port", o.AdminPort, !o.NoConsumer},
		{"crmbridge's console", "--console-port", o.ConsolePort, !o.NoConsumer},
	} {
		if part.wanted && part.port != 0 {
			taken = append(taken, devenv.Free(part.what, part.flag, part.port))
		}
	}
	return errors.Join(taken...)
}

// up starts the services, and crmbridge unless it is not wanted.
func (d *development) up(ctx context.Context) (err error) {
	o := d.options
	bridge.QuietRedis(d.log)
	bridge.QuietTraces(d.log)
	accounts := o.Accounts
	if accounts == 0 {
		accounts = -1 // the emulator's word for none
	}
	d.services, err = devenv.Start(devenv.Ports{
		NATS: o.NATSPort, Redis: o.RedisPort, Emulator: o.EmulatorPort, Host: o.Host, Say: d.say},
		emulator.Options{Accounts: accounts, AutoConsent: o.AutoConsent, Logger: d.log, Latency: o.Latency,
			RedirectURIs: []string{o.publicURL() + "/oauth/callback"}, AccessTokenLifetime: o.AccessTokenLifetime,
			Limits: o.limits()}, nil)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, d.services.Stop)
	if d.settings, err = settingsFor(o, d.services); err != nil {
		return err
	}
	if d.settings.AppConnectionsFile, err = d.robots(); err != nil {
		return err
	}
	if o.NoConsumer {
		return nil
	}
	d.say("crmbridge")
	config, err := d.settings.Config()
	if err != nil {
		return err
	}
	if d.consumer, err = bridge.Start(ctx, config, d.log); err != nil {
		return err
	}
	d.closers = append(d.closers, d.consumer.Stop)
	return nil
}

// robots is a file that lets the connection robot be made by client_credentials.
func (d *development) robots() (string, error) {
	file, err := os.CreateTemp("", "crmbridge-dev-connections-*.json")
	if err != nil {
		return "", err
	}
	d.closers = append(d.closers, func() error { return os.Remove(file.Name()) })
	_, err = fmt.Fprintf(file, `[{"connection":"robot","environment_url":%q}]`, d.services.EmulatorURL)
	return file.Name(), errors.Join(err, file.Close())
}

// wait says what there is and stays up until ctx ends or crmbridge fails. The faults
// strike only now, or they would strike the connecting.
func (d *development) wait(ctx context.Context) error {
	for _, f := range d.faults {
		d.services.Emulator.Control().Fail(f)
	}
	if d.consumer == nil {
		printSettings(d.std.out, d.settings)
		<-ctx.Done()
		return nil
	}
	printNext(d.std.out, d.options, d.services)
	select {
	case <-ctx.Done():
		_ = term.Prose(d.std.err, 2, "stopping …")
		return nil
	case err := <-d.consumer.Failed():
		return err
	}
}

// stop stops what has been started, the last first.
func (d *development) stop() error {
	var first error
	for _, closer := range slices.Backward(d.closers) {
		first = joinStop(first, closer())
	}
	return first
}

// joinStop keeps the first error: a stop that fails after another error tells nothing new.
func joinStop(err, stopped error) error {
	if err != nil {
		return err
	}
	return stopped
}

// say tells on stderr what is going on: the start takes a second or more.
func (d *development) say(what string) { _ = term.Prose(d.std.err, 2, "starting "+what+" …") }

// mainJob connects demo, searches accounts over NATS and prints them.
func (d *development) mainJob(ctx context.Context) error {
	with, stdout := d.services, d.std.out
	_ = term.Prose(d.std.err, 2, "signing in as "+emulator.DefaultUser+", as a person would, for the connection "+
		demo+" …")
	nc, err := bridge.ConnectNATS(bridge.NATS{URL: with.NATSURL}, "crmbridge-dev")
	if err != nil {
		return err
	}
	defer nc.Close()
	ask := messages.NewClient(nc)
	if err := signin.Connect(ctx, ask, demo, with.EmulatorURL, emulator.DefaultUser); err != nil {
		return fmt.Errorf("connect %s: %w", demo, err)
	}
	_ = term.Prose(d.std.err, 2, "searching accounts over NATS …")
	fields := []string{"name", "city", "country", "industry", "employees", "revenue"}
	where := messages.Leaf("industry", messages.Eq, "Consulting")
	page, err := ask.Accounts().Search(ctx, messages.SearchRequest{Target: messages.Target{Connection: demo},
		Where: &where, Fields: fields, OrderBy: []string{"-revenue"}, PageSize: 10, IncludeTotal: true})
	if err != nil {
		return fmt.Errorf("search accounts: %w", err)
	}
	fmt.Fprintf(stdout, "Connection %q is made. The %d consulting companies with the highest revenue, of %d, "+
		"as they came over NATS:\n\n", demo, len(page.Rows), total(page))
	rows := make([][]string, len(page.Rows))
	for i, row := range page.Rows {
		for _, field := range fields {
			text := row.Text(field)
			if field == "revenue" {
				text = term.Cents(text)
			}
			rows[i] = append(rows[i], text)
		}
	}
	return term.Table(stdout, fields, rows)
}

func total(page *messages.Page) int64 {
	if page.Total == nil {
		return int64(len(page.Rows))
	}
	return *page.Total
}

// settingsFor are the settings of a crmbridge that uses these services.
func settingsFor(o *options, with *devenv.Services) (bridge.Settings, error) {
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		return bridge.Settings{}, err
	}
	return bridge.Settings{
		NATS: bridge.NATS{URL: with.NATSURL}, RedisURL: with.RedisURL, TokenKeyset: string(keyset),
		EntraClientID: emulator.DefaultClientID, EntraClientSecret: emulator.DefaultClientSecret,
		EntraAuthorityURL: with.EmulatorURL, PublicURL: o.publicURL(),
		Tables: bridge.AllTables(), HTTPAddr: o.address(o.HTTPPort), AdminAddr: o.address(o.AdminPort),
		ConsoleAddr:   devenv.Address(o.ConsolePort), // of this machine alone: nobody signs in
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
		{"TABLES", s.Tables}, {"HTTP_ADDR", s.HTTPAddr}, {"ADMIN_ADDR", s.AdminAddr},
		{"BUS_COMPLETION", string(s.BusCompletion)}, {"REPLY_SUBJECTS", s.ReplySubjects},
		{"APP_CONNECTIONS_FILE", s.AppConnectionsFile}, {"DYNAMICS_ALLOWED_HOSTS", s.AllowedHosts}, {"DYNAMICS_ALLOW_HTTP", string(s.AllowHTTP)},
	} {
		fmt.Fprintf(to, "export %s='%s'\n", pair[0], pair[1])
	}
}

func printNext(to io.Writer, o *options, with *devenv.Services) {
	fmt.Fprintf(to, `
Everything is up until you interrupt it:
  NATS      %s
  Redis     %s
  Dataverse %s (and Entra ID; emulated)
  crmbridge http://localhost:%d, metrics http://localhost:%d/metrics
  console   http://127.0.0.1:%d

Try, in another terminal:
  export NATS_URL=%s
  go run ./cmd/crmbridge help
  go run ./cmd/crmbridge accounts search demo --where 'city = London and employees >= 50' --fields name,city,owner
  go run ./cmd/crmbridge accounts count demo --where 'industry in (Consulting, Accounting) and website is not null'
  go run ./cmd/crmbridge contacts search demo --where 'department = Marketing' --fields name,job_title,account
  go run ./cmd/crmbridge contacts changes demo --cursor-file demo-contacts.cursor
  go run ./cmd/crmbridge accounts export demo --out demo-accounts.csv
  go run ./cmd/crmbridge accounts search demo --all --csv > accounts.csv
  go run ./cmd/crmbridge jobs list demo
  go run ./cmd/crmbridge status
  go run ./cmd/crmbridge events watch
  go run ./cmd/crmbridge connections check demo
  go run ./cmd/crmbridge users whoami demo
  go run ./cmd/crmbridge connect second %s
  go run ./cmd/crmbridge connect robot %s --grant client_credentials
  go run github.com/nats-io/natscli/nats@latest --no-context req crm.accounts.search.request \
    '{"connection":"demo","where":{"field":"industry","op":"eq","value":"Consulting"}}'
  go run github.com/nats-io/natscli/nats@latest --no-context req crm.accounts.search.job.demo.job-1 '{"fields":["id","name"]}'
  go run github.com/nats-io/natscli/nats@latest --no-context req crm.jobs.get.request.demo '{"job_id":"job-1"}'
  go run github.com/nats-io/natscli/nats@latest --no-context req crm.jobs.results.request.demo '{"job_id":"job-1","page":1}'
  go run github.com/nats-io/natscli/nats@latest --no-context micro stats crmbridge
`, with.NATSURL, with.RedisURL, with.EmulatorURL, o.HTTPPort, o.AdminPort, o.ConsolePort, with.NATSURL, with.EmulatorURL,
		with.EmulatorURL)
}

// address is where crmbridge's pages are listened for.
func (o *options) address(port int) string { return net.JoinHostPort(o.Host, strconv.Itoa(port)) }

// publicURL is where people reach the connect page.
func (o *options) publicURL() string { return "http://localhost:" + strconv.Itoa(o.HTTPPort) }
