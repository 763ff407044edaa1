package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// A scene brings about causes, and looks at the metrics that they move.
type scene struct {
	name string
	play func(*testing.T, *movements)
}

var scenes = []scene{
	{"requests", requestsMove}, {"requests that wait", waitingMoves}, {"replies that nobody takes", stalledMoves},
	{"little memory", memoryMoves},
	{"Entra is away", entraMoves}, {"an environment is away", breakerMoves}, {"Dataverse throttles", throttlesMove},
	{"connections", connectionsMove}, {"keys", keysMove}, {"a certificate", certificateMoves},
	{"jobs", jobsMove}, {"jobs that wait", waitingJobsMove}, {"a killed process's job", takeoverMoves},
	{"a full stream", fullStreamMoves}, {"NATS", natsMoves}, {"JetStream is away", outboxMoves},
	{"Redis is away", redisMoves}, {"Redis's clock", clockMoves}, {"a collector", spansMove},
}

// elsewhere are the families that no scene moves: what does not change while a process runs, and
// what is moved by a test of its own.
var elsewhere = []string{"build_info", "memory_budget_bytes",
	"nats_dropped_messages_total"} // handlers/interactive: TestLossesAreCounted

// Every family moves by its cause, as operators and requesters bring it about, and a gauge comes
// back. A family that no scene moves is a fault: either of the product, or of this test.
func TestEveryMetricMoves(t *testing.T) {
	bridgetest.Long(t, "each cause takes the seconds that it takes")
	t.Parallel()
	seen := &movements{families: map[string]bool{}}
	t.Run("scenes", func(t *testing.T) {
		for _, s := range scenes {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.play(t, seen)
				seen.played(s.name)
			})
		}
	})
	if len(seen.names) < len(scenes) { // -run chose some, or one failed or was skipped, and has said so
		return
	}
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	for _, name := range slices.Sorted(maps.Keys(familiesIn(t, metricsOf(t, settings)))) {
		family, ours := strings.CutPrefix(name, "crmbridge_")
		if ours && !seen.families[family] && !slices.Contains(elsewhere, family) {
			t.Errorf("%s has been moved by nothing", name)
		}
	}
}

// movements are the families that were seen to move.
type movements struct {
	mu       sync.Mutex
	families map[string]bool
	names    []string // of the scenes that came to their end
}

func (m *movements) played(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = append(m.names, name)
}

// A meter reads the metrics of one process.
type meter struct {
	*testing.T
	seen  *movements
	admin string
	first map[string]float64
}

// meterOf reads those of a process from now on.
func meterOf(t *testing.T, seen *movements, settings bridge.Settings) meter {
	t.Helper()
	m := meter{T: t, seen: seen, admin: settings.AdminAddr}
	var err error
	if m.first, err = m.read(); err != nil {
		t.Fatal(err)
	}
	return m
}

// read are the present samples, by name and labels.
func (m meter) read() (map[string]float64, error) {
	status, page, err := bridgetest.AdminPage(m.admin, "/metrics")
	if err != nil || status != 200 {
		return nil, fmt.Errorf("%d %w", status, err)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(page) {
		text, ours := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "crmbridge_")
		if at := strings.LastIndexByte(text, ' '); ours && at > 0 {
			if samples[text[:at]], err = strconv.ParseFloat(text[at+1:], 64); err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}

// A wanted is a condition of a sample, in words and as code.
type wanted struct {
	words string
	is    func(float64) bool
}

func above(least float64) wanted {
	return wanted{fmt.Sprintf("above %v", least), func(v float64) bool { return v > least }}
}

func below(most float64) wanted {
	return wanted{fmt.Sprintf("below %v", most), func(v float64) bool { return v < most }}
}

func equal(to float64) wanted {
	return wanted{fmt.Sprint(to), func(v float64) bool { return v == to }}
}

// finite is what was not a number, or has no end, and is one now.
var finite = wanted{"finite", func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }}

// await waits until all of these samples are as wanted at one moment, and notes which families
// have moved since the meter began.
func (m meter) await(want map[string]wanted) {
	m.Helper()
	var now map[string]float64
	bridgetest.Await(m.T, "metrics", func() (err error) {
		if now, err = m.read(); err != nil {
			return err
		}
		for series, w := range want {
			if v, there := now[series]; !there {
				err = errors.Join(err, fmt.Errorf("there is no %s", series))
			} else if !w.is(v) {
				err = errors.Join(err, fmt.Errorf("%s is %v, want %s", series, v, w.words))
			}
		}
		return err
	})
	m.seen.mu.Lock()
	defer m.seen.mu.Unlock()
	for series := range want {
		if before, there := m.first[series]; !there || before != now[series] {
			m.seen.families[familyOf(series)] = true
		}
	}
}

// one is await of one sample.
func (m meter) one(series string, w wanted) {
	m.Helper()
	m.await(map[string]wanted{series: w})
}

// familyOf is the family of a sample. Of histograms the count is looked at.
func familyOf(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return strings.TrimSuffix(name, "_count")
}

// A foreseen series stands there before its first event.
func (m meter) foreseen(series ...string) {
	m.Helper()
	for _, s := range series {
		if _, there := m.first[s]; !there {
			m.Errorf("there is no %s before its first event", s)
		}
	}
}
