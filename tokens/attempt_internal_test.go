package tokens

import (
	"testing"
	"time"
)

// Leases end after a minute, which no test should wait for.
func TestPosition(t *testing.T) {
	now := time.Now()
	soon, past := now.Add(time.Second), now.Add(-time.Second)
	for _, c := range []struct {
		phase, proof string
		until        time.Time
		want         position
	}{
		{phaseNew, "", time.Time{}, posFree},
		{phaseRedeeming, "mine", soon, posClaimed},
		{phaseRedeeming, "mine", past, posLost},
		{phaseRedeeming, "theirs", soon, posForeign},
		{phaseRedeeming, "theirs", past, posForeign},
		{phaseRedeemed, "mine", soon, posClaimed},
		{phaseRedeemed, "mine", past, posFree},
		{phaseRedeemed, "mine", time.Time{}, posFree},
		{phaseRedeemed, "theirs", time.Time{}, posForeign},
		{phaseDone, "mine", past, posEnded},
		{phaseDone, "mine", soon, posEnded},
		{phaseDone, "theirs", past, posForeign},
		{phaseFailed, "mine", past, posEnded},
		{phaseFailed, "theirs", past, posForeign},
	} {
		st := attempt{Phase: c.phase, Proof: c.proof, Until: c.until}
		if got := st.position("mine", now); got != c.want {
			t.Errorf("%s of %q until %v: %d, want %d", c.phase, c.proof, c.until.Sub(now), got, c.want)
		}
	}
}

func TestReleased(t *testing.T) {
	st := attempt{Phase: phaseNew}.claimed("mine", time.Now())
	if st.Phase != phaseRedeeming || st.Proof != "mine" {
		t.Fatalf("claimed: %s", st.Phase)
	}
	if free := st.released(); free.Phase != phaseNew || free.Proof != "" || !free.Until.IsZero() {
		t.Errorf("after an outage before redemption: %s %q", free.Phase, free.Proof)
	}
	st.Phase = phaseRedeemed
	if free := st.released(); free.Phase != phaseRedeemed || free.Proof != "mine" || !free.Until.IsZero() {
		t.Errorf("after an outage behind redemption: %s %q", free.Phase, free.Proof)
	}
}
