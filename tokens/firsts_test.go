package tokens_test

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// meanwhile does something once, when a script is about to be run on a key.
type meanwhile struct {
	key  string
	do   func()
	done atomic.Bool
}

func (h *meanwhile) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); strings.HasPrefix(cmd.Name(), "eval") && len(args) > 3 && args[3] == h.key &&
			!h.done.Swap(true) {
			h.do()
		}
		return next(ctx, cmd)
	}
}

// Two people begin to connect one id at the same moment: it is one connection, and both
// links lead to it.
func TestTwoFirstAuthorizationsAtOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var second tokens.Callback
		rdb.AddHook(&meanwhile{key: "crmbridge:{acme}:grant",
			do: func() { second = b.signIn(tokens.Request{Connection: "acme"}) }})
		first := b.signIn(tokens.Request{Connection: "acme"})
		one, err := b.auth.Complete(t.Context(), second)
		if err != nil {
			t.Fatalf("the link that was made meanwhile: %v", err)
		}
		two, err := b.auth.Complete(t.Context(), first)
		if err != nil || two.Incarnation != one.Incarnation {
			t.Errorf("the other link: %v; incarnations %s and %s", err, one.Incarnation, two.Incarnation)
		}
	})
}

// Whoever can write to Redis can put neither a connect link nor a sign-in in another's
// place, nor one in place of the other: what is sealed opens where it was sealed only.
func TestTicketsAndStatesCannotBeMoved(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var seen []string
		begin := func(id string) (begun tokens.Begun, ticket, state string) {
			begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: id, EnvironmentURL: envA, Bus: true})
			if err != nil {
				t.Fatal(err)
			}
			keys := rdb.Keys(t.Context(), "crmbridge:*").Val()
			newest := func(prefix string) string {
				for _, key := range keys {
					if strings.HasPrefix(key, prefix) && !slices.Contains(seen, key) {
						seen = append(seen, key)
						return key
					}
				}
				t.Fatalf("no %s in Redis", prefix)
				return ""
			}
			return begun, newest("crmbridge:ticket:"), newest("crmbridge:state:")
		}
		open := func(begun tokens.Begun) error {
			_, err := b.auth.Ticket(t.Context(), path.Base(begun.ConnectURL), "")
			return err
		}
		complete := func(begun tokens.Begun) error {
			_, err := b.auth.Complete(t.Context(), tokens.Callback{State: begun.State, Code: b.code(begun.AuthorizationURL),
				Bus: true})
			return err
		}
		whole := func(from, to string) { rdb.Copy(t.Context(), from, to, 0, true) }
		sealed := func(from, to string) {
			rdb.HSet(t.Context(), to, "sealed", rdb.HGet(t.Context(), from, "sealed").Val())
		}
		for name, c := range map[string]struct {
			change func(ticket, state, otherTicket, otherState string)
			try    func(tokens.Begun) error
		}{
			"another's link":              {func(ticket, _, other, _ string) { whole(other, ticket) }, open},
			"what another's link says":    {func(ticket, _, other, _ string) { sealed(other, ticket) }, open},
			"a sign-in as a link":         {func(ticket, state, _, _ string) { whole(state, ticket) }, open},
			"a link renumbered":           {func(ticket, _, _, _ string) { rdb.HSet(t.Context(), ticket, "inc", "x") }, open},
			"another's sign-in":           {func(_, state, _, other string) { whole(other, state) }, complete},
			"what another's sign-in says": {func(_, state, _, other string) { sealed(other, state) }, complete},
			"a link as a sign-in":         {func(ticket, state, _, _ string) { whole(ticket, state) }, complete},
			"a sign-in renumbered":        {func(_, state, _, _ string) { rdb.HSet(t.Context(), state, "inc", "x") }, complete},
		} {
			_, otherTicket, otherState := begin("mallory")
			begun, ticket, state := begin("acme")
			c.change(ticket, state, otherTicket, otherState)
			if err := c.try(begun); tokens.CodeOf(err) != tokens.CodeConfigurationError {
				t.Errorf("%s: %v", name, err)
			}
		}
		begun, _, _ := begin("acme")
		if err := open(begun); err != nil {
			t.Errorf("a link that nobody touched: %v", err)
		}
		if err := complete(begun); err != nil {
			t.Errorf("a sign-in that nobody touched: %v", err)
		}
	})
}

// A prompt that was asked for is what the person's browser is sent with.
func TestWhatIsAskedReachesMicrosoft(t *testing.T) {
	b := newBench(t, client(t, startMini(t)))
	begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA,
		Prompt:    "select_account",
		LoginHint: "ada@contoso.com", Bus: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(begun.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"prompt": "select_account", "login_hint": "ada@contoso.com",
		"response_mode": "query",
		"redirect_uri":  "http://localhost:8080/oauth/callback", "state": begun.State} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
