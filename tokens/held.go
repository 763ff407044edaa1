package tokens

import "time"

// held is a copy of a grant as this process keeps it: without what no request asks for,
// and never changed once it is made, so that requests share it.
type held struct {
	record
	token *Secret // record.access at a place of its own, see [Access.Held]
	// calm is when the token comes so near its end that a request looks closer, in ns
	// since 1970; see [Source.Access].
	calm int64
}

// hold makes the copy of what a look at Redis found.
func hold(r record) *held {
	// Whoever refreshes, or is asked about the connection, reads it from Redis.
	r.refresh, r.claims, r.challenge, r.authorizedBy = "", "", "", ""
	r.Scopes, r.UserName, r.UserFullName, r.OrganizationName = nil, "", "", ""
	token := r.access
	return &held{record: r, token: &token, calm: r.AccessTokenExpiresAt.Add(-renewBefore(&r)).UnixNano()}
}

// access is what the copy gives a request. It allocates nothing.
func (h *held) access() Access {
	a := h.grant()
	a.held = h.token
	return a
}

// An instant is a moment by both clocks, since the monotonic one stands still while a
// machine sleeps and the other one may be set back. What has a time to live ends when it
// is over by either of them.
type instant struct{ mono, wall int64 } // ns since local.base; ns since 1970

func (l *local) instant(t time.Time) instant { return instant{int64(t.Sub(l.base)), t.UnixNano()} }

func (i instant) after(end instant) bool { return i.mono > end.mono || i.wall > end.wall }

func (i instant) reached(end instant) bool { return i.mono >= end.mono || i.wall >= end.wall }

// age is how long ago t was by the clock that says more.
func age(now, t time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
