package e2e

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Whatever status an environment, or what stands before it, refuses with, and says
// nothing: the answer has a sentence, in its body and in its header, and none says
// nothing after its colon.
func TestARefusalWithoutAWordBecomesASentence(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 5}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if s := int(status.Load()); s != 0 && strings.HasPrefix(r.URL.Path, "/api/data/") {
				rw.Header().Set("Retry-After", "11") // no second attempt
				rw.WriteHeader(s)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	statuses := []int{201, 202, 204, 206}
	for s := 300; s < 600; s++ {
		if http.StatusText(s) != "" || s%50 == 49 {
			statuses = append(statuses, s)
		}
	}
	for _, s := range statuses {
		status.Store(int32(s))
		for op, body := range map[messages.Operation]string{messages.UsersWhoAmI: `{}`, messages.AccountsSearch: `{}`, messages.AccountsChanges: `{}`,
			messages.AccountsGet: `{"account_id":"11111111-2222-3333-4444-555555555555"}`, messages.UsersGet: `{"email":"a@b.example"}`, messages.AccountsCount: `{}`} {
			msg, err := nc.Request(op.ScopedSubject("acme"), []byte(body), 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var reply messages.ErrorReply
			if err := json.Unmarshal(msg.Data, &reply); err != nil || reply.Error == nil {
				t.Errorf("%d, %s: no error: %s", s, op, msg.Data)
				continue
			}
			said := reply.Error.Message
			if len(said) < 10 || strings.HasSuffix(strings.TrimSpace(said), ":") || len(msg.Header.Get(messages.HeaderServiceError)) < 10 ||
				msg.Header.Get(messages.HeaderServiceErrorCode) == "" || msg.Header.Get(messages.HeaderErrorCode) != string(reply.Error.Code) {
				t.Errorf("%d, %s: %q, header %v", s, op, said, msg.Header)
			}
			if (s == 413 || s == 414) && (reply.Error.Code != messages.TooLarge || !strings.Contains(said, "filter")) {
				t.Errorf("%d, %s: %v", s, op, reply.Error)
			}
		}
	}
}
