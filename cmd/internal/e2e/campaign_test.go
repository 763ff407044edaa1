package e2e

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest/campaign/campaigntest"
)

// The sample of a campaign service passes the same tests against crmbridge as against messagestest:
// see messages/messagestest/campaign.
func TestTheCampaignSample(t *testing.T) {
	bridgetest.Long(t, "Dataverse's limits are in whole seconds")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: -1, Contacts: -1})
	for _, company := range campaigntest.Companies {
		if _, err := w.Emulator.Control().Table("accounts").Put(emulator.Row{"name": company.Name,
			"address1_city": company.City, "numberofemployees": company.Employees}); err != nil {
			t.Fatal(err)
		}
	}
	rig := &consumerRig{World: w, t: t, settings: w.Settings(true)}
	rig.Start()
	t.Cleanup(rig.Stop)
	for _, scene := range campaigntest.Scenes() {
		t.Run(scene.Name, func(t *testing.T) { scene.Play(t, rig) })
	}
}

// A consumerRig is crmbridge with the emulator, for scenes that have it one after the other.
type consumerRig struct {
	*bridgetest.World
	t        *testing.T
	settings bridge.Settings
	running  *bridge.Bridge
	twice    sync.Once
}

func (r *consumerRig) URL() string { return r.NATSURL }

func (r *consumerRig) Unit() time.Duration { return time.Second }

func (r *consumerRig) Throttle(wait time.Duration) {
	r.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: int(wait / time.Second)})
}

func (r *consumerRig) Slow(delay time.Duration) {
	r.Emulator.Control().Fail(emulator.Fault{Delay: delay})
}

func (r *consumerRig) Start() {
	r.t.Helper()
	config, err := r.settings.Config()
	if err != nil {
		r.t.Fatal(err)
	}
	if r.running, err = bridge.Start(r.t.Context(), config, slog.New(slog.DiscardHandler)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *consumerRig) Stop() {
	r.t.Helper()
	if r.running == nil {
		return
	}
	if err := r.running.Stop(); err != nil {
		r.t.Error(err)
	}
	r.running = nil
}

// DeliverTwice publishes every event once more, as a process does that was killed before it knew
// that the first one is stored.
func (r *consumerRig) DeliverTwice() {
	r.t.Helper()
	r.twice.Do(func() {
		_, nc := r.Client()
		seen := map[string]bool{}
		if _, err := nc.Subscribe(messages.EventSubjects, func(msg *nats.Msg) {
			id := msg.Header.Get(nats.MsgIdHdr)
			if seen[id] {
				return
			}
			seen[id] = true
			if err := nc.PublishMsg(&nats.Msg{Subject: msg.Subject, Header: nats.Header{nats.MsgIdHdr: {id}},
				Data: msg.Data}); err != nil {
				r.t.Error(err)
			}
		}); err != nil {
			r.t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			r.t.Fatal(err)
		}
	})
}

func (r *consumerRig) Revoke(connection string) {
	r.t.Helper()
	r.Emulator.Control().RevokeRefreshTokens(emulator.DefaultUser)
	r.Emulator.Control().ExpireAccessTokens()
	client, _ := r.Client()
	bridgetest.Await(r.t, "the end of the grant", func() error {
		_, err := client.WhoAmI(r.t.Context(), connection)
		if refused, is := errors.AsType[*messages.Error](err); is && refused.Code == messages.ReauthorizationRequired {
			return nil
		}
		return fmt.Errorf("asked who it is, crmbridge says %v", err)
	})
}
