package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// An emulated environment is one whose Entra ID and Dataverse are the emulator, with the
// operations over NATS. The connection acme may be made for the application.
type emulated struct {
	*messages.Client
	requester  *nats.Conn
	operations *Operations
	control    emulator.Control
	url        string
	access     *access
}

// access asks the token side for access, as cmd wires it.
type access struct {
	source *tokens.Source
	only   atomic.Pointer[[]string] // the tables of every connection, nil: those that it records
}

func (a *access) Access(ctx context.Context, connection string) (dynamics.Access, error) {
	got, err := a.source.Access(ctx, connection)
	if only := a.only.Load(); only != nil {
		got.Tables = *only
	}
	return grantOf(got), err
}

func (a *access) Refused(ctx context.Context, connection string, refused dynamics.Access) (dynamics.Access, error) {
	got, err := a.source.Refused(ctx, connection, tokens.Access{Environment: refused.Environment,
		Incarnation:    refused.Incarnation,
		OrganizationID: refused.Principal.Organization, UserID: refused.Principal.User,
		Token: tokens.Secret(refused.Token.Reveal())})
	return grantOf(got), err
}

func grantOf(a tokens.Access) dynamics.Access {
	return dynamics.Access{Environment: a.Environment, Incarnation: a.Incarnation,
		Token:     dynamics.NewSecret(a.Token.Reveal()),
		Principal: dynamics.Principal{Organization: a.OrganizationID, User: a.UserID}, Tables: a.Tables}
}

// emulate starts an environment with the given number of accounts, the only table that is
// served.
func emulate(t testing.TB, accounts int) *emulated {
	t.Helper()
	return emulateTables(t, emulator.Options{Accounts: accounts, Contacts: -1}, messages.Accounts)
}

// emulateTables starts an environment whose tables are served.
func emulateTables(t testing.TB, options emulator.Options, tables ...messages.Table) *emulated {
	t.Helper()
	server, err := emulator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	store := tokens.NewStore(client, keys)
	entra, err := tokens.NewEntra(tokens.EntraConfig{Authority: web.URL, AllowHTTP: true,
		ClientID:     emulator.DefaultClientID,
		ClientSecret: emulator.DefaultClientSecret, Apps: map[string]string{"acme": web.URL}})
	if err != nil {
		t.Fatal(err)
	}
	source := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: entra})
	hosts, err := dynamics.NewHostPolicy(web.URL, []string{strings.TrimPrefix(web.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	tokenSide := &access{source: source}
	dataverse, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: tokenSide, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	authorizer, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: store, Entra: entra,
		PublicURL: "http://127.0.0.1:1",
		Tables:    messages.TableNames(tables),
		Discover: func(ctx context.Context, environment string) (string, error) {
			challenge, err := dataverse.Challenge(ctx, environment)
			return challenge.Tenant, err
		},
		Identify: func(ctx context.Context, environment, token string) (string, string, error) {
			who, err := dataverse.Identify(ctx, environment, token)
			return who.UserID, who.OrganizationID, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		authorizer.Close(ctx)
		source.Close(ctx)
		dataverse.Close()
	})
	e := &emulated{control: server.Control(), url: web.URL, access: tokenSide,
		operations: &Operations{Tables: tables, Dynamics: dataverse, Hosts: hosts, Store: store,
			Authorizer: authorizer, Sealer: keys, Catalog: plan.NewCatalog(tokens.NewMetadataCache(store), 0,
				slog.New(slog.DiscardHandler))}}
	e.requester = served(t, e.operations)
	e.Client = messages.NewClient(e.requester)
	return e
}

// connect makes the connection acme, in which the application acts.
func (e *emulated) connect(t testing.TB) *emulated {
	t.Helper()
	reply, err := e.Authorize(t.Context(), messages.AuthorizeRequest{Target: acme, EnvironmentURL: e.url,
		Grant: messages.GrantClientCredentials})
	if err != nil || reply.Connection.Made == nil || reply.Connection.Made.Status != messages.StatusActive {
		t.Fatalf("%+v, %v", reply, err)
	}
	return e
}

// as fails the test unless err is an answered error of code, and returns it.
func as(t testing.TB, err error, code messages.Code) *messages.Error {
	t.Helper()
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok || fault.Code != code {
		t.Errorf("%v, want %s", err, code)
		return &messages.Error{}
	}
	return fault
}
