package check

import (
	"regexp"
	"testing"
	"time"
)

// stopWait is what serve may take beyond SHUTDOWN_GRACE, to close what its work has used.
const stopWait = 10 * time.Second

// variables are those that crmbridge serve knows, by its own help.
func variables(t testing.TB) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	help := output(t, crmbridge(t), "serve", "--help")
	for _, match := range regexp.MustCompile(`\(\$([A-Z0-9_]+)\)`).FindAllStringSubmatch(help, -1) {
		known[match[1]] = true
	}
	// OpenTelemetry's own have no flags.
	for _, match := range regexp.MustCompile("`(OTEL_[A-Z_]+)`").FindAllStringSubmatch(file(t, "deploy/README.md"), -1) {
		known[match[1]] = true
	}
	if len(known) < 20 {
		t.Fatalf("serve --help names only %d variables", len(known))
	}
	return known
}

// shutdownGrace is SHUTDOWN_GRACE, or what serve takes where it is not set.
func shutdownGrace(t testing.TB, set string) time.Duration {
	t.Helper()
	if set == "" {
		help := output(t, crmbridge(t), "serve", "--help")
		match := regexp.MustCompile(`--shutdown-grace=(\S+)`).FindStringSubmatch(help)
		if match == nil {
			t.Fatal("serve --help names no --shutdown-grace")
		}
		set = match[1]
		if standard := regexp.MustCompile(`SIGTERM:\s+(\w+)`).FindStringSubmatch(help); standard != nil {
			set = standard[1]
		}
	}
	grace, err := time.ParseDuration(set)
	if err != nil {
		t.Fatal(err)
	}
	return grace
}
