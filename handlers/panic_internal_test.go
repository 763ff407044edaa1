package handlers

import (
	"context"
	"net/http"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

type oneAccess struct{ access dynamics.Access }

func (a oneAccess) Access(context.Context, string) (dynamics.Access, error) { return a.access, nil }

func (a oneAccess) Refused(context.Context, string, dynamics.Access) (dynamics.Access, error) {
	return a.access, nil
}

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("a secret") }

// A panic in a goroutine that an operation started is answered as any other, and the
// process goes on.
func TestAPanicBesideTheOperationIsInternal(t *testing.T) {
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Transport: panics{},
		Tokens: oneAccess{dynamics.Access{Environment: "https://org.crm.dynamics.com", Token: dynamics.NewSecret("x"), Tables: []string{"accounts"}}}})
	if err != nil {
		t.Fatal(err)
	}
	o := &Operations{Dynamics: client}
	consumer, nc := run(t, Options{}, one(oneConnection, o.connectionsCheck))
	for range 2 {
		got := answers(t, nc, nil)
		if len(got) != 1 || codeIn(t, got[0]) != messages.Internal {
			t.Errorf("%d answers, code %q", len(got), codeIn(t, got[0]))
		}
	}
	if e := consumer.stats().Endpoints[1]; e.NumRequests != 2 || e.NumErrors != 2 {
		t.Errorf("%d requests and %d errors were counted", e.NumRequests, e.NumErrors)
	}
}
