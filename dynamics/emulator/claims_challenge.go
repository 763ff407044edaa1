package emulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
)

// maxClaims bounds what travels in every token.
const maxClaims = 4 << 10

// checkClaims refuses a claims parameter that is not a JSON object.
func checkClaims(text string) *entraError {
	if text == "" {
		return nil
	}
	var m map[string]any
	if len(text) > maxClaims || json.Unmarshal([]byte(text), &m) != nil || m == nil {
		return refuse("invalid_request", 9002313,
			"Invalid request. Request is malformed or invalid. The parameter 'claims' must be a JSON object.")
	}
	return nil
}

// covers says whether a request with the claims parameter asked has everything that is wanted;
// clients may have merged more in.
func covers(asked, want string) bool {
	if want == "" {
		return true
	}
	var a, w any
	if json.Unmarshal([]byte(asked), &a) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	return contains(a, w)
}

func contains(a, w any) bool {
	wm, isMap := w.(map[string]any)
	if !isMap {
		return reflect.DeepEqual(a, w)
	}
	am, isMap := a.(map[string]any)
	if !isMap {
		return false
	}
	for k, v := range wm {
		if x, ok := am[k]; !ok || !contains(x, v) {
			return false
		}
	}
	return true
}

// claimsChallenge is the 401 of continuous access evaluation
// (https://learn.microsoft.com/entra/identity-platform/claims-challenge).
func (s *Server) claimsChallenge(w http.ResponseWriter, r *http.Request, want string) {
	s.tally.add(func(c *Counts) {
		c.Unauthorized++
		c.ClaimsChallenges++
	})
	h := w.Header()
	h.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="", authorization_uri="%s/%s/oauth2/authorize", client_id="%s", error="insufficient_claims", claims="%s"`,
		s.authority(r), strings.ToLower(s.opts.TenantID), "00000007-0000-0000-c000-000000000000",
		base64.StdEncoding.EncodeToString([]byte(want))))
	h.Set("Content-Type", "text/html")
	h.Del("OData-Version")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("HTTP Error 401 - Unauthorized: Access is denied")) // the client may be gone
}
