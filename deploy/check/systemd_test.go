package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const unitFile = "deploy/crmbridge.service"

// setting is the value of a directive of the unit.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
	if match == nil {
		t.Fatalf("%s has no %s", unitFile, name)
	}
	return match[1]
}

// The unit starts commands that there are, is told when they are ready, and gives them time
// and memory.
func TestTheUnitStartsWhatThereIs(t *testing.T) {
	unit := file(t, unitFile)
	help := output(t, crmbridge(t), "serve", "--help")
	for name, want := range map[string]string{"ExecStartPre": "serve --check", "ExecStart": "serve"} {
		program, args, _ := strings.Cut(setting(t, unit, name), " ")
		if program != "/usr/local/bin/crmbridge" || args != want {
			t.Errorf("%s=%s %s", name, program, args)
		}
		for _, flag := range strings.Fields(args)[1:] {
			if !regexp.MustCompile(`(?m)^\s+` + flag + `\b`).MatchString(help) {
				t.Errorf("%s: crmbridge serve has no %s", name, flag)
			}
		}
	}
	if setting(t, unit, "Type") != "notify" || setting(t, unit, "User") == "root" {
		t.Error("the unit is not told when it is ready, or runs as root")
	}
	stop, err := time.ParseDuration(setting(t, unit, "TimeoutStopSec"))
	if least := shutdownGrace(t, "") + stopWait; err != nil || stop <= least {
		t.Errorf("it is killed after %s, and may take %s: %v", stop, least, err)
	}
	const mib = 1 << 20
	if limit := 1024 * mib; setting(t, unit, "MemoryMax") != "1G" || limit/10*6+80*mib > limit {
		t.Errorf("MemoryMax=%s leaves no room on top of the budget", setting(t, unit, "MemoryMax"))
	}
}

// systemd itself finds nothing wrong, and calls the unit well protected.
func TestSystemdTakesTheUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "systemd-analyze verify and security: systemd is not installed")
	}
	text := strings.ReplaceAll(file(t, unitFile), "/usr/local/bin/crmbridge", crmbridge(t))
	name := filepath.Join(t.TempDir(), "crmbridge.service")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", name).CombinedOutput(); err != nil || strings.Contains(string(out), name) {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// The exposure is from 0 to 10, here in tenths; network and sockets are what it lives by.
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", name).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
	t.Log(regexp.MustCompile(`Overall exposure.*`).FindString(string(out)))
}
