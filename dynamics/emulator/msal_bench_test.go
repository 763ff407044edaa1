package emulator_test

import (
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// BenchmarkMSALSilent is a cache hit of Microsoft's own client, for comparison.
func BenchmarkMSALSilent(b *testing.B) {
	g := startTLS(b, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.client(b, microsoftHost+"/"+emulator.DefaultTenantID, secretCredential(b, emulator.DefaultClientSecret))
	scope := []string{environmentHost + "/user_impersonation"}
	first := g.signIn(b, c, scope[0])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AcquireTokenSilent(b.Context(), scope, confidential.WithSilentAccount(first.Account)); err != nil {
			b.Fatal(err)
		}
	}
	if n := g.s.Control().Counts().Tokens["refresh_token"]; n != 0 {
		b.Fatalf("%d refreshes: not a cache hit", n)
	}
}
