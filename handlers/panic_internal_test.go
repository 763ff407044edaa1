package handlers

import (
	"context"
	"net/http"
	"testing"
	"time"

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
		Tokens: oneAccess{dynamics.Access{Environment: "https://org.crm.dynamics.com", Token: dynamics.NewSecret("x"),
			Tables: []string{"accounts"}}}})
	if err != nil {
		t.Fatal(err)
	}
	o := &Operations{Dynamics: client}
	requester := served(t, o)
	for range 2 {
		msg, err := requester.Request(messages.ConnectionsCheck.ScopedSubject("acme"), nil, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if code := msg.Header.Get(messages.HeaderErrorCode); code != string(messages.Internal) {
			t.Errorf("code %q", code)
		}
	}
}
