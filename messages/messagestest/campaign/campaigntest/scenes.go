// Package campaigntest are the tests of the sample service, against whatever answers as crmbridge
// does: messagestest in process, or crmbridge itself.
package campaigntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
	"github.com/crmbridge/crmbridge/messages/messagestest/campaign"
)

// A Rig is a crmbridge with what a test does to it. Its connections have Companies.
type Rig interface {
	URL() string               // where the NATS server listens
	Connect(connection string) // makes a connection
	// Unit is a time within which a request is answered for sure.
	Unit() time.Duration
	// Throttle has Dataverse refuse the next search for so long, Slow has it answer that late.
	Throttle(wait time.Duration)
	Slow(delay time.Duration)
	// Stop is a crmbridge that is gone, Start one that is there again.
	Stop()
	Start()
	// DeliverTwice repeats events to plain subscribers.
	DeliverTwice()
	// Revoke takes a connection's grant away, and returns when crmbridge knows.
	Revoke(connection string)
}

// Companies are the accounts of each connection.
var Companies = companies()

func companies() (all []campaign.Company) {
	cities := []string{"London", "Rome", "Oslo"}
	for i := range 25 {
		all = append(all, campaign.Company{Name: fmt.Sprintf("Company %02d", i), City: cities[i%len(cities)],
			Employees: 10 * i})
	}
	return all
}

// A Scene is one test of the service.
type Scene struct {
	Name string
	Play func(t *testing.T, rig Rig)
}

// Scenes are all tests of the service.
func Scenes() []Scene {
	return []Scene{{"pages", pages}, {"throttled", throttled}, {"refused", refused}, {"slow", slow},
		{"no responders", noResponders}, {"export", export}, {"export that fails", exportThatFails},
		{"watched", watched}}
}

// scene is the service with a connection to work with.
func scene(t *testing.T, rig Rig, connection string) *campaign.Service {
	t.Helper()
	rig.Connect(connection)
	return &campaign.Service{NATS: messagestest.Connect(t, rig.URL())}
}

// names are what companies are called.
func names(of []campaign.Company) []string {
	all := make([]string, len(of))
	for i, company := range of {
		all[i] = company.Name
	}
	return all
}

func codeOf(err error) messages.Code {
	var refused *messages.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// everything fails where companies are not all of them, each once.
func everything(t *testing.T, got []campaign.Company, err error) {
	t.Helper()
	found := names(got)
	slices.Sort(found)
	if err != nil || !slices.Equal(found, names(Companies)) {
		t.Errorf("%v, %v", found, err)
	}
}

func pages(t *testing.T, rig Rig) {
	service := scene(t, rig, "pages")
	all, err := service.Companies(t.Context(), "pages", "")
	everything(t, all, err)
	some, err := service.Companies(t.Context(), "pages", "city = london and employees >= 100 or name ends with '24'")
	if want := []string{"Company 12", "Company 15", "Company 18", "Company 21", "Company 24"}; err != nil ||
		!slices.Equal(names(some), want) {
		t.Errorf("%v, %v; want %v", names(some), err, want)
	}
	if len(some) > 0 && (some[0].ID == "" || some[0].City != "London" || some[0].Employees != 120) {
		t.Errorf("%+v", some[0])
	}
}

func throttled(t *testing.T, rig Rig) {
	service := scene(t, rig, "throttled")
	service.Timeout, service.Tries = 2*rig.Unit(), 20
	waited := false
	service.Retries = func(err error) {
		var refused *messages.Error
		waited = waited || errors.As(err, &refused) && refused.Code == messages.Throttled && refused.RetryAfter() > 0
	}
	rig.Throttle(3 * rig.Unit())
	all, err := service.Companies(t.Context(), "throttled", "")
	everything(t, all, err)
	if !waited {
		t.Error("the service has never been throttled")
	}
}

// What sending again does not mend is not sent again.
func refused(t *testing.T, rig Rig) {
	service := scene(t, rig, "refused")
	service.Retries = func(err error) { t.Errorf("sent again after %v", err) }
	for _, c := range []struct {
		connection, filter string
		code               messages.Code
		says               string
	}{
		{"refused", "industri = Consulting", messages.InvalidRequest, "did you mean industry?"},
		{"refused", "employees contains 5", messages.InvalidRequest, "whole number"},
		{"refused", "industry = Nothing", messages.InvalidRequest, "no option with this label"},
		{"nobody", "", messages.ConnectionNotFound, "nobody"},
	} {
		if _, err := service.Companies(t.Context(), c.connection, c.filter); codeOf(err) != c.code ||
			!strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.filter, err)
		}
	}
}

func slow(t *testing.T, rig Rig) {
	service := scene(t, rig, "slow")
	service.Timeout, service.Tries = 2*rig.Unit(), 1
	rig.Slow(4 * rig.Unit())
	if _, err := service.Companies(t.Context(), "slow", ""); codeOf(err) != messages.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	service.Timeout, service.Tries = 0, 0
	all, err := service.Companies(t.Context(), "slow", "")
	everything(t, all, err)
}

func noResponders(t *testing.T, rig Rig) {
	service := scene(t, rig, "gone")
	service.Tries = 1
	rig.Stop()
	if _, err := service.Companies(t.Context(), "gone", ""); codeOf(err) != messages.Unavailable ||
		!errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("%v", err)
	}
	service.Tries = 100 // it waits for a crmbridge
	missed := make(chan struct{}, service.Tries)
	service.Retries = func(error) { missed <- struct{}{} }
	var all []campaign.Company
	done := make(chan error, 1)
	go func() {
		var err error
		all, err = service.Companies(t.Context(), "gone", "")
		done <- err
	}()
	<-missed
	rig.Start()
	err := <-done
	everything(t, all, err)
}

func export(t *testing.T, rig Rig) {
	service := scene(t, rig, "export")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	crash := errors.New("the service has crashed")
	var all []campaign.Company
	page := 0
	err := service.Export(ctx, "export", "export-1", 1, func(companies []campaign.Company) error {
		if page++; page > 1 {
			return crash
		}
		all = append(all, companies...)
		return nil
	})
	if !errors.Is(err, crash) || len(all) != 10 {
		t.Fatalf("%d companies, %v", len(all), err)
	}
	// It is published again under the same id, and nothing comes twice.
	err = service.Export(ctx, "export", "export-1", 2, func(companies []campaign.Company) error {
		all = append(all, companies...)
		return nil
	})
	everything(t, all, err)
	job, err := messages.NewClient(service.NATS).Jobs().Get(ctx, "export", "export-1")
	if err != nil || job.State != messages.JobDone || job.Rows != 25 || job.Pages != 3 {
		t.Errorf("%+v, %v", job, err)
	}
}

func exportThatFails(t *testing.T, rig Rig) {
	service := scene(t, rig, "failing")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := service.Export(ctx, "nobody", "export-1", 1, func([]campaign.Company) error { return nil })
	if codeOf(err) != messages.ConnectionNotFound {
		t.Errorf("%v", err)
	}
}

func watched(t *testing.T, rig Rig) {
	service := scene(t, rig, "watched")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	lost := make(chan string, 10)
	stop, err := service.Watch(func(connection, why string) {
		if why == "" {
			t.Error("nobody says why")
		}
		lost <- connection
	})
	if err != nil {
		t.Fatal(err)
	}
	rig.DeliverTwice()
	for _, connection := range []string{"watched", "watched-too"} {
		if connection != "watched" {
			rig.Connect(connection)
		}
		rig.Revoke(connection)
		select {
		case got := <-lost:
			if got != connection {
				t.Errorf("%s is lost, want %s", got, connection)
			}
		case <-ctx.Done():
			t.Fatalf("nothing is heard of %s", connection)
		}
		if _, err := service.Companies(ctx, connection, ""); codeOf(err) != messages.ReauthorizationRequired {
			t.Errorf("%v", err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(lost) > 0 {
		t.Errorf("%s is lost twice", <-lost)
	}
}
