package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// What only the customer's directory can mend is put to its administrator, in the
// error and in connections.check, and does not mark the connection.
func TestTheDirectorysAdministratorIsNamed(t *testing.T) {
	t.Parallel()
	var number atomic.Int32
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 5}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if n := number.Load(); n != 0 && strings.HasSuffix(r.URL.Path, "/token") {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(rw, `{"error":"invalid_resource","error_description":"AADSTS%d: x","error_codes":[%d]}`, n, n)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	for _, n := range []int32{500014, 500011, 50001, 650052} {
		connection := fmt.Sprintf("c%d", n)
		number.Store(0)
		w.Connect(connection)
		w.Emulator.Control().ExpireAccessTokens()
		number.Store(n)
		_, err := client.WhoAmI(t.Context(), connection)
		wantCode(t, err, messages.ConfigurationError)
		if err == nil || !strings.Contains(err.Error(), "an administrator of the customer's directory must mend") || !strings.Contains(err.Error(), "00000007-0000-0000-c000-000000000000") {
			t.Errorf("%d: %v", n, err)
		}
		token := failed(checks(t, testedTables()[0], client, connection))[messages.CheckToken]
		if !strings.Contains(token.Detail, fmt.Sprintf("AADSTS%d", n)) || !strings.Contains(token.HowToFix, "administrator of the customer's directory") || strings.Contains(token.HowToFix, "operator") {
			t.Errorf("%d: %+v", n, token)
		}
		if c, err := client.Connection(t.Context(), connection); err != nil || c.Status != messages.StatusActive {
			t.Errorf("%d: %+v, %v", n, c, err)
		}
	}
}
