package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// keys runs a keys command on a key set and returns what it prints.
func keys(t *testing.T, keyset string, args ...string) string {
	t.Helper()
	cmd := bridgetest.Program(t, nil, append([]string{"keys"}, args...)...)
	cmd.Stdin = strings.NewReader(keyset)
	var diag strings.Builder
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("keys %v: %v; %s", args, err, diag.String())
	}
	return strings.TrimSpace(string(out))
}

func TestKeysCommandsRefuse(t *testing.T) {
	set := keys(t, "", "generate")
	listed, err := tokens.Keys([]byte(set))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, args string }{
		{"", "rotate"}, {"nonsense", "rotate"}, {set, "rotate --promote"}, {set, "rotate --stage --promote"},
		{set, fmt.Sprintf("remove --key-id %d", listed[0].ID)}, {set, "remove --key-id 1"}, {set, "remove"}, {"", "list"}, {"", "reseal"},
	} {
		cmd := bridgetest.Program(t, nil, append([]string{"keys"}, strings.Fields(c.args)...)...)
		cmd.Stdin = strings.NewReader(c.in)
		out, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != program.ExitUsage || strings.Contains(string(out), "keyValue") {
			t.Errorf("keys %s: %v, %s", c.args, err, out)
		}
	}
}

// A key is staged, made primary, everything is resealed and the old key removed,
// while two processes answer 200 requests a second and refresh tokens: nothing
// fails, and a process that has never seen the old key goes on.
func TestRotateAndResealUnderLoad(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "keys are rotated under load, and tokens of 3 s are refreshed all the while")
	w := bridgetest.New(t, emulator.Options{Accounts: 10, AccessTokenLifetime: 3 * time.Second}) // refreshed all the while
	file := filepath.Join(t.TempDir(), "keyset")
	put := func(set string) {
		if err := os.WriteFile(file+".new", []byte(set+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(w.Keyset)
	var fleet []*bridgetest.Process
	for i := range 2 {
		settings := w.Settings(i == 0)
		settings.TokenKeyset, settings.TokenKeysetFile = "", file
		fleet = append(fleet, bridgetest.Serve(t, settings))
	}
	const connections = 5
	for i := range connections {
		w.Connect(fmt.Sprintf("c%d", i))
	}
	client, _ := w.Client()
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var asked, failed atomic.Int64
	load.Go(func() {
		tick := time.NewTicker(time.Second / 200)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			load.Go(func() {
				_, err := client.WhoAmI(t.Context(), fmt.Sprintf("c%d", i%connections))
				if asked.Add(1); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			})
		}
	})
	defer func() { stop(); load.Wait() }()
	taken := 0
	everybodyTakes := func(set string) {
		t.Helper()
		put(set)
		taken++
		bridgetest.Await(t, "both processes to take over the keys", func() error {
			for _, p := range fleet {
				if n := strings.Count(p.Log.String(), "took over a new key set"); n < taken {
					return fmt.Errorf("%d of %d", n, taken)
				}
			}
			return nil
		})
	}
	staged := keys(t, w.Keyset, "rotate", "--stage")
	everybodyTakes(staged)
	promoted := keys(t, staged, "rotate", "--promote")
	everybodyTakes(promoted)
	reseal := func() (counts resealCounts) {
		cmd := bridgetest.Program(t, []string{"TOKEN_KEYSET_FILE=" + file, "REDIS_URL=" + w.RedisURL}, "keys", "reseal",
			"--json")
		var diag strings.Builder
		cmd.Stderr = &diag
		out, err := cmd.Output()
		if err = errors.Join(err, json.Unmarshal(out, &counts)); err != nil {
			t.Fatalf("reseal: %v; %s", err, diag.String())
		}
		return counts
	}
	listed, err := tokens.Keys([]byte(promoted))
	if err != nil {
		t.Fatal(err)
	}
	remove := func() (string, string, error) {
		cmd := bridgetest.Program(t, []string{"TOKEN_KEYSET=" + promoted, "REDIS_URL=" + w.RedisURL}, "keys", "remove",
			"--key-id", fmt.Sprint(listed[0].ID))
		var diag strings.Builder
		cmd.Stderr = &diag
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), diag.String(), err
	}
	if out, diag, err := remove(); err == nil || out != "" ||
		!strings.Contains(diag, "records are still sealed under key") {
		t.Errorf("a key that is needed was removed: %v, %s", err, diag)
	}
	first, second := reseal(), reseal()
	if first.Records < 3*connections || first.Tickets == 0 || first.States == 0 || second.Resealed != 0 ||
		second.Unopened != 0 {
		t.Errorf("first %+v, then %+v", first, second)
	}
	last, diag, err := remove()
	if err != nil {
		t.Fatal(err, diag)
	}
	everybodyTakes(last)
	before := asked.Load()
	bridgetest.Await(t, "load after the removal", func() error {
		if n := asked.Load() - before; n < 200 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	stop()
	load.Wait()
	t.Logf("%d requests, %d failed; resealed %+v", asked.Load(), failed.Load(), first)
	if asked.Load() < 500 {
		t.Error("there was no load to speak of")
	}
	for _, p := range fleet {
		if err := p.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	w.Keyset = last
	bridgetest.Serve(t, w.Settings(true))
	for i := range connections {
		if _, err := client.WhoAmI(t.Context(), fmt.Sprintf("c%d", i)); err != nil {
			t.Error(err)
		}
	}
}

// With a key set that opens nothing a process does not start, and says why.
func TestServeRefusesAKeysetThatOpensNothing(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	first := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	settings := w.Settings(false)
	settings.TokenKeyset = keys(t, "", "generate")
	cmd := bridgetest.Program(t, bridgetest.Environment(settings), "serve")
	var diag strings.Builder
	cmd.Stderr = &diag
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != program.ExitUsage ||
		!strings.Contains(diag.String(), "TOKEN_KEYSET opens none of the stored connections") {
		t.Errorf("%v: %s", err, diag.String())
	}
	client, _ := w.Client()
	bridgetest.Serve(t, w.Settings(false))
	if c, err := client.Connection(t.Context(), "acme"); err != nil || c.Status != messages.StatusActive {
		t.Error("the refused start changed something:", err)
	}
}

// --write replaces the file, and leaves it as it is where something is wrong.
func TestKeysAreWritten(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "keyset.json")
	if err := os.WriteFile(file, []byte(keys(t, "", "generate")), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(folder, "link.json")
	if err := os.Symlink("keyset.json", link); err != nil {
		t.Fatal(err)
	}
	number := func() int {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		listed, err := tokens.Keys(text)
		if err != nil {
			t.Fatal(err)
		}
		return len(listed)
	}
	for _, test := range []struct {
		args   []string
		status int
		keys   int
	}{
		{[]string{"rotate", "--stage", "--write", "--token-keyset-file", file}, 0, 2},
		{[]string{"rotate", "--promote", "--write", "--token-keyset-file", link}, 0, 2},
		{[]string{"rotate", "--promote", "--write", "--token-keyset-file", file}, program.ExitUsage, 2},
		{[]string{"rotate", "--write"}, program.ExitUsage, 2},
		{[]string{"remove", "--write", "--key-id", "1", "--token-keyset-file", file}, program.ExitUsage, 2},
	} {
		var out, diag strings.Builder
		status := run(append([]string{"keys"}, test.args...), &out, &diag)
		if status != test.status || out.String() != "" || number() != test.keys {
			t.Errorf("keys %v: status %d, %d keys: %s%s", test.args, status, number(), out.String(), diag.String())
		}
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if info, err = os.Stat(file); err != nil || info.Mode().Perm() != 0o644 { // whoever could read it still can
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
}
