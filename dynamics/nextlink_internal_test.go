package dynamics

import (
	"strconv"
	"testing"
)

// What a session remembers of links has an end, which is an error and no circle.
func TestFollowedLinksAreBounded(t *testing.T) {
	s := &Session{}
	for i := range maxFollowed {
		if err := s.markFollowed("op", strconv.Itoa(i)); err != nil {
			t.Fatalf("link %d: %v", i, err)
		}
	}
	if err := s.markFollowed("op", "one more"); KindOf(err) != TooLarge || len(s.followed) != maxFollowed {
		t.Errorf("%v; %d are remembered", err, len(s.followed))
	}
	if !s.wasFollowed("0") || s.wasFollowed("one more") {
		t.Error("what was followed is not remembered")
	}
}
