package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMemoryBudgetIsRead(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64 // 0: a fault
	}{
		{"512MiB", 512 << 20}, {"1GiB", 1 << 30}, {"64Mi", 64 << 20}, {"536870912", 512 << 20}, {" 2GB ", 2e9}, {"67108864B", 64 << 20},
		{"63MiB", 0}, {"0", 0}, {"-1GiB", 0}, {"1.5GiB", 0}, {"1 GiB", 0}, {"1gib", 0}, {"lots", 0}, {"999999999999999GiB", 0}, {"NaN", 0},
	} {
		var r reader
		got := r.memory(test.text)
		if test.want == 0 {
			if len(r.faults) != 1 || !strings.Contains(r.faults[0].Error(), "MEMORY_BUDGET: must be a number of bytes from 64MiB") {
				t.Errorf("%q: %d, %v", test.text, got, r.faults)
			}
		} else if got != test.want || len(r.faults) > 0 {
			t.Errorf("%q: %d, %v; want %d", test.text, got, r.faults, test.want)
		}
	}
	var r reader
	if got := r.memory(""); got < leastMemory || got > mostMemory {
		t.Errorf("the default is %d", got)
	}
}

func TestMemoryDefaultsAndLimits(t *testing.T) {
	for _, test := range []struct{ limit, budget, soft int64 }{
		{0, 1 << 30, 1<<30 + 56<<20},               // unknown
		{8 << 30, 1 << 30, 1<<30 + 56<<20},         // at most 1 GiB
		{1000 << 20, 600 << 20, 656 << 20},         // 60 %
		{120 << 20, 72 << 20, 120 << 20 / 10 * 9},  // 90 % of the container is less
		{80 << 20, leastMemory, 80 << 20 / 10 * 9}, // never less than the least
		{2 << 30, 1 << 30, 1<<30 + 56<<20},         //
		{1100 << 20, 660 << 20, 660<<20 + 56<<20},  //
		{256 << 20, 153 << 20, 209 << 20},          // rounded down
	} {
		budget := defaultMemory(test.limit)
		if diff := budget - test.budget; diff < -mib || diff > mib {
			t.Errorf("of %d: %d, want %d", test.limit, budget, test.budget)
		}
		if diff := softLimit(budget, test.limit) - test.soft; diff < -mib || diff > mib {
			t.Errorf("of %d: soft limit %d, want %d", test.limit, softLimit(budget, test.limit), test.soft)
		}
	}
	for _, bytes := range []int64{leastMemory, 128 * mib, 256 * mib, gib, 16 * gib} {
		p := planMemory(bytes)
		if sum := 2*p.backlog + p.metadata + p.replies + p.requests.Bytes; sum > bytes || p.requests.Bytes < bytes/2 ||
			p.requests.Reserve+p.requests.Intake > p.requests.Bytes*2/3 {
			t.Errorf("%d is divided into %+v", bytes, p)
		}
	}
}

func TestContainerLimit(t *testing.T) {
	for _, test := range []struct {
		name, groups string
		files        map[string]string
		want         int64
	}{
		{"version 2", "0::/kubepods/pod1/c1\n", map[string]string{"kubepods/pod1/c1/memory.max": "268435456\n"}, 256 << 20},
		{"version 2, above", "0::/a/b/c\n", map[string]string{"a/b/c/memory.max": "max\n", "a/memory.max": "300000000", "memory.max": "max"}, 300000000},
		{"version 2, the least of all", "0::/a/b\n", map[string]string{"a/b/memory.max": "500000000\n", "a/memory.max": "300000000"}, 300000000},
		{"version 2, the host's path", "0::/../../x\n", map[string]string{"memory.max": "400000000\n"}, 400000000},
		{"version 1", "4:cpu,cpuacct:/x\n3:memory:/docker/1\n", map[string]string{"memory/docker/1/memory.limit_in_bytes": "200000000\n"}, 200000000},
		{"version 1, no limit", "3:memory:/docker/1\n", map[string]string{"memory/docker/1/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"version 1, in a container", "3:memory:/docker/1\n", map[string]string{"memory/memory.limit_in_bytes": "200000000\n"}, 200000000},
		{"none", "0::/\n", nil, 0},
		{"nonsense", "what\n0::/\n", map[string]string{"memory.max": "much"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range test.files {
				at := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			groups := filepath.Join(t.TempDir(), "cgroup")
			if err := os.WriteFile(groups, []byte(test.groups), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := containerLimit(groups, root); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
	if got := containerLimit(filepath.Join(t.TempDir(), "none"), t.TempDir()); got != 0 {
		t.Errorf("without control groups: %d", got)
	}
	if machineMemory("/proc/meminfo") == 0 {
		t.Log("the machine's memory is not known here")
	}
}
