package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// BenchmarkGrowth measures what a process keeps of connections that have asked for something
// once, each a connection of its own user with a token of its own:
//
//	go test ./cmd/internal/e2e -run '^$' -bench Growth -benchtime 1x -timeout 30m
//	CRMBRIDGE_BENCH_PROFILES=FOLDER … keeps a heap profile of each size, for go tool pprof -base,
//	and a CPU profile of each round of requests
//
// heap-B/connection is what is still there after the collector ran, over the process
// without connections; rss-B/connection is what the process has taken; idle-% is of a core.
// What a process keeps has bounds of its own, so that a connection costs most while they fill.
func BenchmarkGrowth(b *testing.B) {
	for b.Loop() {
		g := newGrowth(b, 10_000)
		heap0, rss0 := g.look(b, 0)
		b.Logf("without connections: %.2f %% of a core while nothing is asked", 100*g.idle(b))
		asked := 0
		for _, n := range []int{1, 1000, 5000, 10_000} {
			before := g.cpu(b)
			g.ask(b, asked, n)
			took := g.cpu(b) - before
			heap, rss := g.look(b, n)
			b.Logf("%6d connections: %s of CPU for a first request; "+
				"heap %6.2f MiB (%5.0f B each), resident %6.2f MiB (%5.0f B each)", n,
				(took / time.Duration(n-asked)).Round(time.Microsecond),
				float64(heap)/(1<<20), float64(heap-heap0)/float64(n), float64(rss)/(1<<20), float64(rss-rss0)/float64(n))
			asked = n
			b.ReportMetric(float64(heap-heap0)/float64(n), "heap-B/connection")
			b.ReportMetric(float64(rss-rss0)/float64(n), "rss-B/connection")
		}
		share := g.idle(b)
		b.Logf("%6d connections: %.2f %% of a core while nothing is asked", asked, 100*share)
		b.ReportMetric(100*share, "idle-%")
		for _, n := range []int{32, 1000, asked} {
			g.ask(b, 0, n) // in memory, where there is room
			profiled := g.profile(b, fmt.Sprintf("cpu-%05d", n))
			before, rounds := g.cpu(b), max(4000/n, 1)
			for range rounds {
				g.ask(b, 0, n)
			}
			b.Logf("%6d connections: %s of CPU for a request", n,
				((g.cpu(b) - before) / time.Duration(rounds*n)).Round(time.Microsecond))
			profiled()
		}
	}
}

// growth is one process and connections that it has not met yet.
type growth struct {
	*bridgetest.Process
	profiles string // where it serves them
	nc       *nats.Conn
}

// An access token of Entra for Dataverse has about this length, and ends in a signature by a
// key of 2048 bits behind a dot.
const (
	tokenLength = 1500
	signLength  = 342
)

func newGrowth(t testing.TB, connections int) *growth {
	t.Helper()
	const times = `{"@odata.context":"x","value":[` +
		`{"LogicalName":"createdon","MetadataId":"1","DateTimeBehavior":{"Value":"UserLocal"}}]}`
	page := []byte(`{"@odata.context":"x","value":[{"@odata.etag":"W/\"1\"",` +
		`"accountid":"78914942-34cb-ed11-b596-000000000001","name":"Fabrikam"}]}`)
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 1}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
			w.Header().Set("OData-Version", "4.0")
			w.Header().Set("X-Ms-Service-Request-Id", uuid.NewString()) // as Dataverse does
			switch {
			case strings.HasSuffix(r.URL.Path, "/accounts"):
				_, _ = w.Write(page)
			case strings.HasSuffix(r.URL.Path, "DateTimeAttributeMetadata"):
				_, _ = w.Write([]byte(times))
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	pairs := make([]map[string]string, connections)
	for i := range pairs {
		pairs[i] = map[string]string{"connection": connectionOf(i), "environment_url": w.EmulatorURL}
	}
	list, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	settings := w.Settings(true)
	settings.LogLevel = "error"
	settings.AppConnectionsFile = filepath.Join(t.TempDir(), "connections.json")
	if err := os.WriteFile(settings.AppConnectionsFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	connectApps(t, w, connections)
	g := &growth{profiles: devenv.Address(bridgetest.Port(t))}
	g.Process = bridgetest.NewProcess(t, settings, "PPROF_ADDR="+g.profiles)
	g.Await(t)
	_, g.nc = w.Client()
	return g
}

func connectionOf(i int) string { return fmt.Sprintf("connection-%05d", i) }

// connectApps makes connections without asking Dataverse who each is: as many users.
func connectApps(t testing.TB, w *bridgetest.World, n int) {
	t.Helper()
	var mu sync.Mutex
	made := 0
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		made++
		number := made
		mu.Unlock()
		token := fmt.Sprintf("token-%d-", number)
		w.Header().Set("Content-Type", "application/json")
		for len(token) < tokenLength {
			token += strconv.FormatInt(int64(len(token))*7919*int64(number+1), 36)
		}
		token = token[:tokenLength-signLength-1] + "." + token[tokenLength-signLength:]
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":86400,"access_token":"%s"}`, token)
	}))
	defer authority.Close()
	address, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	address.ContextTimeoutEnabled = true
	rdb := redis.NewClient(address)
	defer rdb.Close()
	keys, err := tokens.ReadKeyset([]byte(w.Keyset))
	if err != nil {
		t.Fatal(err)
	}
	const directory = "11111111-2222-3333-4444-555555555555"
	pairs := map[string]string{}
	for i := range n {
		pairs[connectionOf(i)] = w.EmulatorURL
	}
	entra, err := tokens.NewEntra(tokens.EntraConfig{Authority: authority.URL, AllowHTTP: true,
		ClientID: directory, ClientSecret: "secret", Apps: pairs})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: tokens.NewStore(rdb, keys), Entra: entra,
		PublicURL: "http://localhost:8080",
		Discover:  func(context.Context, string) (string, error) { return directory, nil },
		Identify: func(_ context.Context, _, token string) (string, string, error) {
			_, number, _ := strings.Cut(token, "-")
			number, _, _ = strings.Cut(number, "-")
			return "aaaaaaaa-0000-0000-0000-" + strings.Repeat("0", 12-len(number)) + number,
				"bbbbbbbb-0000-0000-0000-000000000001", nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close(t.Context())
	work := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range work {
				if _, err := auth.App(t.Context(), tokens.Request{Connection: connectionOf(i),
					EnvironmentURL: w.EmulatorURL}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// ask sends one search for each connection from one number to before another, some at once.
func (g *growth) ask(t testing.TB, from, to int) {
	t.Helper()
	work := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range work {
				body := fmt.Sprintf(`{"connection":%q,"fields":["id","name"]}`, connectionOf(i))
				answer, err := g.nc.Request(messages.Accounts.Operation(messages.VerbSearch).Subject(), []byte(body), time.Minute)
				if err != nil || !strings.Contains(string(answer.Data), "Fabrikam") {
					t.Errorf("%s: %v %.300s", connectionOf(i), err, answer.Data)
				}
			}
		})
	}
	for i := from; i < to; i++ {
		work <- i
	}
	close(work)
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// profile takes a CPU profile beside what follows, where profiles are kept; wait ends it.
func (g *growth) profile(t testing.TB, name string) (wait func()) {
	t.Helper()
	folder := os.Getenv("CRMBRIDGE_BENCH_PROFILES")
	if folder == "" {
		return func() {}
	}
	taken := make(chan string, 1)
	go func() { taken <- g.get(t, "profile?seconds=3") }()
	return func() {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(<-taken), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// get asks for a profile.
func (g *growth) get(t testing.TB, path string) string {
	t.Helper()
	response, err := http.Get("http://" + g.profiles + "/debug/pprof/" + path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// cpu is the time that the process has run.
func (g *growth) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.Cmd.Process.Pid))
	if err != nil {
		t.Skipf("the CPU time of a process is read from Linux's /proc: %v", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system, tick = 11, 12, time.Second / 100
	sum := 0
	for _, at := range []int{user, system} {
		n, err := strconv.Atoi(fields[at])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * tick
}

// idle is the share of a core that the process takes while nobody asks it anything.
func (g *growth) idle(t testing.TB) float64 {
	t.Helper()
	const over = 20 * time.Second
	before := g.cpu(t)
	time.Sleep(over)
	return float64(g.cpu(t)-before) / float64(over)
}

var (
	heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	residents = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)
)

// look collects garbage until there is none, and reads what is left.
func (g *growth) look(t testing.TB, n int) (heap, rss int64) {
	t.Helper()
	text := ""
	for range 3 { // what pools keep lives for two collections
		text = g.get(t, "heap?gc=1&debug=1")
	}
	if folder := os.Getenv("CRMBRIDGE_BENCH_PROFILES"); folder != "" {
		name := filepath.Join(folder, fmt.Sprintf("heap-%05d", n))
		if err := os.WriteFile(name, []byte(g.get(t, "heap")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Cmd.Process.Pid))
	if err != nil {
		t.Skipf("memory is read from Linux's /proc: %v", err)
	}
	number := func(pattern *regexp.Regexp, text string) int64 {
		match := pattern.FindStringSubmatch(text)
		if match == nil {
			t.Fatalf("no %s", pattern)
		}
		n, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return number(heapAlloc, text), number(residents, string(status)) << 10
}
