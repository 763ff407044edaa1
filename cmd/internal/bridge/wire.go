package bridge

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
	"github.com/crmbridge/crmbridge/handlers"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// dataverseConcurrency is how many calls of one user Dataverse takes at once:
// https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
const dataverseConcurrency = 52

// wire builds tokens, dynamics and the operations on what is connected. The
// dynamics client asks the source for access; the authorizer asks the dynamics
// client who a new grant acts as.
func (b *Bridge) wire(store *tokens.Store) (*handlers.Operations, error) {
	upstream := newUpstreamMetrics(b.registry, b.config.Tables)
	entra, err := tokens.NewEntra(tokens.EntraConfig{
		Authority: b.config.AuthorityURL, ClientID: b.config.ClientID, ClientSecret: b.config.ClientSecret,
		ClientCertificateFile: b.config.ClientCertificateFile, FederatedTokenFile: b.config.FederatedTokenFile,
		Apps: b.config.AppConnections, Serves: serves(b.config.Hosts),
		AllowHTTP: b.config.AllowHTTP, Observe: upstream.entra, Log: b.log,
	})
	if err != nil {
		return nil, err
	}
	if b.config.UserCalls > dataverseConcurrency {
		b.log.Warn("USER_CONCURRENCY is above what Dataverse lets a user have in flight; it will refuse calls",
			"user_concurrency", b.config.UserCalls, "limit", dataverseConcurrency)
	}
	b.limits, err = throttle.New(throttle.Config{Redis: b.redis, Concurrency: b.config.UserCalls, Log: b.log,
		Waited: upstream.queued, Refused: upstream.refused})
	if err != nil {
		return nil, err
	}
	b.onStop(func(context.Context) error { b.limits.Close(); return nil })
	spans := b.spans()
	b.source = tokens.NewSource(tokens.SourceConfig{Store: store, Entra: entra, Log: b.log, Waited: upstream.waited,
		Cached: upstream.cached("token"), Refreshed: upstream.refreshed,
		Awaited: spans.awaited,
		Names: func(ctx context.Context, environment, access, user, organization string) tokens.Names {
			return names(b.dynamics)(ctx, environment, access, user, organization) // made below
		}})
	b.onStop(func(ctx context.Context) error {
		b.source.Close(ctx) // until then it asks Dataverse for names
		if b.dynamics != nil {
			b.dynamics.Close()
		}
		return nil
	})
	b.dynamics, err = dynamics.New(dynamics.Config{
		Tokens: b.tokensOf(), Gate: b.limits, Hosts: b.config.Hosts, APIVersion: b.config.APIVersion,
		ReceiveBuffer: b.divided.receiveBuffer, MaxCalls: b.config.MaxInFlight,
		UserAgent: "crmbridge/" + version, Coalesced: upstream.cached("coalesced"),
		Observe: spans.besides(upstream.dataverse),
	})
	if err != nil {
		return nil, err
	}
	b.wired.Store(true)
	catalog := plan.NewCatalog(tokens.NewMetadataCache(store), b.divided.metadata, b.log)
	catalog.Cached = upstream.cached("metadata")
	b.authorizer, err = tokens.NewAuthorizer(tokens.AuthorizerConfig{
		Store: store, Entra: entra, PublicURL: b.config.PublicURL, Log: b.log,
		Discover: discover(b.dynamics), Identify: identify(b.dynamics), Names: names(b.dynamics),
		Operator: b.config.Operator, Tables: messages.TableNames(b.config.Tables), Describe: describe(b.config.Tables),
		Reads: handlers.Reads(messages.Operations(b.config.Tables)), Leftovers: b.purger.Clear,
	})
	if err != nil {
		return nil, err
	}
	b.onStop(func(ctx context.Context) error { b.authorizer.Close(ctx); return nil })
	return &handlers.Operations{
		Dynamics: b.dynamics, Hosts: b.config.Hosts, Store: store, Authorizer: b.authorizer, Tables: b.config.Tables,
		Sealer: b.config.Keyset, Catalog: catalog,
		BusCompletion: b.config.BusCompletion, UserCalls: b.config.UserCalls,
	}, nil
}
