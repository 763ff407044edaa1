package throttle

import (
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

func TestTold(t *testing.T) {
	const key = keyPrefix + "{o/u/https://org.crm4.dynamics.com}"
	const most = 10 * time.Minute
	for message, want := range map[string]news{
		"30000 " + key:                         {key: key, wait: 30 * time.Second, limit: dynamics.LimitUnknown},
		"30000 " + key + " 3 1":                {key: key, wait: 30 * time.Second, limit: dynamics.LimitConcurrency, probe: true},
		"0 " + key + " 1 0":                    {key: key, limit: dynamics.LimitRequests},
		"600000 " + key:                        {key: key, wait: most, limit: dynamics.LimitUnknown, probe: true},
		"86400000 " + key:                      {key: key, wait: most, limit: dynamics.LimitUnknown, probe: true},
		"9223372036854775807 " + key + " 1 0":  {key: key, wait: most, limit: dynamics.LimitRequests, probe: true},
		"9223372036854775808 " + key + " 1 0":  {},
		"99999999999999999999999999999 " + key: {},
		"-5 " + key:                            {},
		"NaN " + key:                           {},
		"1e3 " + key:                           {},
		" " + key:                              {},
		"5":                                    {},
		"5 another:key":                        {},
		"":                                     {},
	} {
		got, ok := told(message, most)
		if got != want || ok != (want != news{}) {
			t.Errorf("%q: %+v, %v; want %+v", message, got, ok, want)
		}
	}
}

// No two principals share a key, whatever an environment calls itself.
func TestKeys(t *testing.T) {
	const origin = "https://org.crm4.dynamics.com"
	seen := map[string]dynamics.Principal{}
	for _, p := range []dynamics.Principal{
		{Environment: origin, Organization: "o", User: "u"},
		{Environment: "https://other.crm4.dynamics.com", Organization: "o", User: "u"},
		{Environment: origin + ":8443", Organization: "o", User: "u"},
		{Environment: "http://org.crm4.dynamics.com", Organization: "o", User: "u"},
		{Environment: origin, Organization: "o/u", User: ""},
		{Environment: origin, Organization: "o", User: "u/" + origin},
		{Environment: "u/" + origin, Organization: "o", User: ""},
		{Environment: origin, Organization: "{o}", User: "u"},
		{Environment: origin, Organization: "o ", User: "u"},
		{Environment: origin, Organization: "o%20", User: "u"},
		{Environment: origin + "}", Organization: "o", User: "u"},
		{Environment: origin + "%7D", Organization: "o", User: "u"},
	} {
		key := keyOf(p)
		if other, taken := seen[key]; taken {
			t.Errorf("%+v and %+v share %s", p, other, key)
		}
		seen[key] = p
	}
	if got, want := keyOf(dynamics.Principal{Environment: origin, Organization: "o", User: "u"}), keyPrefix+"{o/u/"+
		origin+"}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
