package bridge

import "testing"

func TestMistypedVariables(t *testing.T) {
	for name, want := range map[string]string{
		"USER_CONCURENCY":        "USER_CONCURRENCY",
		"ENTRA_CLIENT_SECRT":     "ENTRA_CLIENT_SECRET",
		"ENTRA_CLEINT_ID":        "ENTRA_CLIENT_ID",
		"REQUIRE_SCOPED_SUBJECT": "REQUIRE_SCOPED_SUBJECTS",
		"NATS_URI":               "NATS_URL",
		"public_url":             "PUBLIC_URL",
		"TABLE":                  "TABLES",
		"LABELS":                 "", // two letters of six
		"NATS_URL":               "", "REDIS_PORT": "", "NATS_PORT": "", "NATS_HOST": "", "HTTP_PROXY": "",
		"HOME": "", "PATH": "", "TOKEN_KEYSETS_FOLDER": "", "KUBERNETES_SERVICE_HOST": "", "GOMEMLIMIT": "",
		"NATS_SERVICE_HOST": "", "REDIS_SERVICE_PORT": "", "HOSTNAME": "", "https_proxy": "", "NATS_USER": "",
		"USER_CONCURRENCY_MAX": "",
	} {
		got := mistyped([]string{name + "=secret"})
		switch {
		case want == "" && len(got) > 0:
			t.Errorf("%s is taken for %s", name, got[0].Means)
		case want != "" && (len(got) != 1 || got[0] != Typo{name, want}):
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	if got := mistyped([]string{"TABLE=a", "NATS_URI=b"}); len(got) != 2 || got[0].Set != "NATS_URI" {
		t.Errorf("%v are not in the order of their names", got)
	}
}

// No variable of ours is taken for another one.
func TestNoVariableLooksLikeAnotherOne(t *testing.T) {
	for _, name := range Variables() {
		if got := mistyped([]string{name + "="}); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
