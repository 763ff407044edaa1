package interactive

import "testing"

func TestReplyRule(t *testing.T) {
	rule, err := newReplyRule([]string{"_INBOX.>", "_R_.>", "campaigns.replies.*"})
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]bool{
		"":                                     false,
		"_INBOX":                               false,
		"_INBOX.":                              false,
		"_INBOX..x":                            false,
		"_INBOX.*":                             false,
		"_INBOX.>":                             false,
		"_INBOXX.a":                            false,
		"_INBOX.a b":                           false,
		"$JS.API.STREAM.DELETE.X":              false,
		"$SYS.REQ.SERVER.PING":                 false,
		"crm.accounts.search.request.other":    false,
		"crm.events.connections.deleted.other": false,
		"crm.x":                                false,
		"crm":                                  false,
		"campaigns.replies":                    false,
		"campaigns.replies.a.b":                false,
		"other":                                false,
		"_INBOX.a":                             true,
		"_INBOX.a.b.c":                         true,
		"_R_.x.y":                              true,
		"campaigns.replies.spring":             true,
		"_INBOX." + string(make([]byte, 600)):  false,
	} {
		if got := rule.allows(subject); got != want {
			t.Errorf("%q: %v, want %v", subject, got, want)
		}
	}
}

func TestReplyRuleFaults(t *testing.T) {
	for _, patterns := range [][]string{nil, {""}, {">"}, {"*"}, {"*.x"}, {"crm.>"}, {"crm"}, {"$JS.>"}, {"a..b"}, {"a.>.b"}, {"a.b*"}, {"a b"}} {
		if CheckReplySubjects(patterns) == nil {
			t.Errorf("%q is taken", patterns)
		}
	}
}
