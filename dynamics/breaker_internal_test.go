package dynamics

import (
	"strconv"
	"testing"
	"time"
)

// However many connections come, what is remembered of them is bounded.
func TestBreakersAreBounded(t *testing.T) {
	b := &breakers{bound: time.Minute}
	for i := range 2*maxBreakers + 1 {
		b.of(strconv.Itoa(i), "https://org.crm.dynamics.com")
		if len(b.known) > maxBreakers {
			t.Fatalf("%d of %d are remembered", len(b.known), i+1)
		}
	}
}
