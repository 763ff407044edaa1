// Command crmbridge-dev runs crmbridge with everything that it needs in one
// process and nothing to install: a NATS server with JetStream, a Redis, an
// emulated Entra ID and Dataverse with sample rows of every table, and the consumer. It
// connects the connection "demo" through the real OAuth flow, searches accounts
// over NATS, prints them and what to try next, and stays up until interrupted.
//
// It is a program of its own so that the production binary holds no broker, no
// emulator and no fake identity provider. All data is kept in memory or in a
// temporary folder, and is gone when it ends.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// options are the program's flags.
type options struct {
	Once       bool `help:"End after the table, with status 0."`
	NoConsumer bool `help:"Start NATS, Redis and the emulator only, and print the settings of a 'crmbridge serve' that uses them."`

	Host string `default:"127.0.0.1" placeholder:"ADDR" help:"Address to listen on: ${default}. 0.0.0.0 is for containers: whoever reaches it may do everything."`

	NATSPort     int `name:"nats-port" default:"4222" help:"Port of the NATS server: ${default}. 0 takes a free one, here and below."`
	RedisPort    int `name:"redis-port" default:"6379" help:"Port of the Redis server: ${default}."`
	EmulatorPort int `name:"emulator-port" default:"8090" help:"Port of the emulated Entra ID and Dataverse: ${default}."`
	HTTPPort     int `name:"http-port" default:"8080" help:"Port of the connect and callback pages: ${default}."`
	AdminPort    int `name:"admin-port" default:"8081" help:"Port of health, readiness and metrics: ${default}."`

	ConsolePort int `name:"console-port" default:"8082" help:"Port of the console, on 127.0.0.1: ${default}."`

	Accounts            int           `default:"10000" help:"How many sample accounts there are: ${default}."`
	AccessTokenLifetime time.Duration `default:"1h" help:"How long the emulator's access tokens live: ${default}."`
	Latency             time.Duration `default:"0s" help:"How long the emulated Dataverse waits before each answer: ${default}."`
	LimitWindow         time.Duration `default:"0s" help:"Window of the emulated service protection limits; 0s is Dataverse's own, 5m."`
	LimitServers        int           `default:"4" help:"Web servers of the emulated Dataverse, each of which counts its own limits: ${default}, as an environment in production may have; a trial has 1."`
	LimitRequests       int           `default:"0" help:"Requests of one user in the window; 0 is Dataverse's own, 6000, -1 no limit."`
	LimitConcurrent     int           `default:"0" help:"Requests of one user at once; 0 is Dataverse's own, 52, -1 no limit."`
	LimitExecution      time.Duration `default:"0s" help:"Execution time of one user in the window; 0s is Dataverse's own, 20m, negative no limit."`
	AutoConsent         bool          `help:"The emulated Entra ID signs the first user in at once, without a page to choose."`
	BusCompletion       bool          `help:"Let applications complete authorizations over NATS."`
	ReplySubjects       string        `default:"_INBOX.>,_R_.>,campaigns.replies.>" help:"Reply subjects that answers may go to: ${default}."`
	Fault               []string      `sep:"none" placeholder:"JSON" help:"Something that goes wrong once the demo connection is made, as the emulator's /_emulator/fail takes it, for example {\"kind\":\"gateway\",\"times\":3}. May be repeated."`
	LogLevel            string        `default:"warn" help:"debug, info, warn or error: ${default}."`
}

// limits are the emulated service protection limits.
func (o *options) limits() emulator.Limits {
	return emulator.Limits{Window: o.LimitWindow, Requests: o.LimitRequests, Concurrent: o.LimitConcurrent,
		Servers: o.LimitServers, Execution: o.LimitExecution}
}

// Validate finds addresses and ports that are none, and faults that cannot be.
func (o *options) Validate() error {
	if ip := net.ParseIP(o.Host); ip == nil || ip.To4() == nil || !ip.IsLoopback() && !ip.IsUnspecified() {
		return errors.New("--host must be 127.0.0.1 or 0.0.0.0: crmbridge itself reaches its services at 127.0.0.1")
	}
	for _, port := range []int{o.NATSPort, o.RedisPort, o.EmulatorPort, o.HTTPPort, o.AdminPort, o.ConsolePort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("%d is no port: ports go from 1 to 65535, and 0 takes a free one", port)
		}
	}
	if o.Once && len(o.Fault) > 0 {
		return errors.New("--fault strikes after the table, which is where --once ends")
	}
	if o.LimitWindow < 0 {
		return fmt.Errorf("--limit-window must not be negative; 0s is Dataverse's own window of 5m")
	}
	if o.LimitServers < 1 || o.LimitServers > 64 {
		return fmt.Errorf("--limit-servers must be from 1 to 64")
	}
	_, err := o.faults()
	return err
}

// faults are those of the flag --fault.
func (o *options) faults() ([]emulator.Fault, error) {
	var out []emulator.Fault
	for _, text := range o.Fault {
		f, err := emulator.ParseFault([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("--fault %s: %w", text, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	return program.Program{Name: "crmbridge-dev",
		Description: "Everything in one process: NATS, Redis, an emulated Entra ID and Dataverse, and crmbridge.",
		Commands:    &options{}, Bind: []any{&outputs{stdout, stderr}},
	}.Run(args, stdout, stderr)
}

// outputs are the program's standard output and error.
type outputs struct{ out, err io.Writer }
