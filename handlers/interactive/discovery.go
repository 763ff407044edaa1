package interactive

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"

	"github.com/crmbridge/crmbridge/messages"
)

// ServiceName is the name under which NATS's services API lists crmbridge.
const ServiceName = "crmbridge"

// Names of the endpoint metadata that hold JSON Schemas.
const (
	metadataRequest = "request_schema"
	metadataReply   = "response_schema"
)

// identity is this process in NATS's services API.
type identity struct {
	micro.ServiceIdentity
	started time.Time
}

func newIdentity(version string) identity {
	return identity{
		ServiceIdentity: micro.ServiceIdentity{Name: ServiceName, ID: nuid.Next(), Version: version,
			Metadata: map[string]string{"contract": "1"}},
		started: time.Now().UTC(),
	}
}

// discover answers PING, INFO and STATS in micro's schema. Answering them here,
// not through micro, keeps the counts honest.
func (c *Consumer) discover() error {
	answers := map[micro.Verb]func() any{
		micro.PingVerb: func() any {
			return micro.Ping{ServiceIdentity: c.identity.ServiceIdentity, Type: micro.PingResponseType}
		},
		micro.InfoVerb:  func() any { return c.info() },
		micro.StatsVerb: func() any { return c.Stats() },
	}
	for verb, value := range answers {
		for _, at := range [][2]string{{}, {ServiceName}, {ServiceName, c.identity.ID}} {
			subject, err := micro.ControlSubject(verb, at[0], at[1])
			if err != nil {
				return fmt.Errorf("services API: %w", err)
			}
			c.subscriptions.add(&subscribed{subject: subject, make: func() (*nats.Subscription, error) {
				return c.bounded()(c.nc.Subscribe(subject, func(msg *nats.Msg) {
					if c.described() {
						c.describe(msg, value)
					}
				}))
			}})
		}
	}
	return nil
}

// describedASecond bounds how often this process describes itself. Its description is
// long, and whoever asks in floods gets none beyond it; micro promises no answer.
const describedASecond = 200

// described reports whether one more description is within the bound.
func (c *Consumer) described() bool {
	c.descriptions.mu.Lock()
	defer c.descriptions.mu.Unlock()
	if now := time.Now(); now.Sub(c.descriptions.since) >= time.Second {
		c.descriptions.since, c.descriptions.count = now, 0
	}
	c.descriptions.count++
	return c.descriptions.count <= describedASecond
}

// descriptions counts those of one second.
type descriptions struct {
	mu    sync.Mutex
	since time.Time
	count int
}

func (c *Consumer) describe(msg *nats.Msg, value func() any) {
	if !c.replies.allows(msg.Reply) {
		return
	}
	body, err := json.Marshal(value())
	if err == nil {
		err = c.nc.Publish(msg.Reply, body)
	}
	if err != nil {
		c.log.Warn("services API: no answer", "error", err)
	}
}

func (c *Consumer) info() micro.Info {
	info := micro.Info{ServiceIdentity: c.identity.ServiceIdentity, Type: micro.InfoResponseType,
		Description: strings.Join(c.entities(), ", ") + " of customers' Dynamics 365 (Dataverse) environments"}
	for _, e := range c.endpoints {
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{Name: e.name, Subject: e.subject,
			QueueGroup: messages.QueueGroup, Metadata: c.schemas(e)})
	}
	return info
}

// schemas are an endpoint's metadata.
func (c *Consumer) schemas(e *endpoint) map[string]string {
	if e.route.Schemas == nil {
		return nil
	}
	schemas, err := e.route.Schemas()
	if err != nil {
		c.log.Warn("services API: no schemas", "operation", e.operation, "error", err)
		return nil
	}
	return map[string]string{metadataRequest: schemas.Request, metadataReply: schemas.Reply}
}

// entities are what this process answers requests about, each once: those of the
// tables that it serves too.
func (c *Consumer) entities() []string {
	var names []string
	for _, e := range c.endpoints {
		if name := e.operation.Entity(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Stats are what the services API says of this process's requests.
func (c *Consumer) Stats() micro.Stats {
	stats := micro.Stats{ServiceIdentity: c.identity.ServiceIdentity, Type: micro.StatsResponseType,
		Started: c.identity.started}
	for _, e := range c.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats())
	}
	return stats
}

// EndpointData is crmbridge's own part of an endpoint's statistics.
type EndpointData struct {
	RefusedReplySubjects int   `json:"refused_reply_subjects"`
	InFlight             int64 `json:"in_flight"` // requests that are worked on
}

func endpointData(refused int, inFlight int64) json.RawMessage {
	text, err := json.Marshal(EndpointData{refused, inFlight})
	if err != nil {
		return nil // two numbers can always be written
	}
	return text
}
