package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	// leastMemory is the smallest MEMORY_BUDGET: one answer of the longest that are
	// read still fits, in its turn.
	leastMemory = 64 * mib
	// mostMemory is the largest that is taken where nothing is said.
	mostMemory = gib
	// outsideBudget is what Go's runtime may take on top of the budget: connections, stacks, and
	// garbage between two collections. The program's own pages, up to 24 MiB, are no part of it;
	// together they are the 80 MiB that a container needs beside the budget.
	outsideBudget = 56 * mib
	// longAnswer is what the longest answer that is read takes with its buffers.
	longAnswer = 80 * mib
)

// A memoryPlan divides MEMORY_BUDGET.
type memoryPlan struct {
	backlog       int64 // requests that wait for a slot, and as much again in the NATS client
	metadata      int64 // what is kept about the columns of environments
	replies       int64 // replies while NATS is away
	requests      budget.Bounds
	receiveBuffer int // of one HTTP/2 answer
}

func planMemory(bytes int64) memoryPlan {
	p := memoryPlan{backlog: bytes / 16, metadata: bytes / 16, replies: min(bytes/16, 16*mib)}
	p.requests.Bytes = bytes - 2*p.backlog - p.metadata - p.replies
	p.requests.Reserve = min(p.requests.Bytes/3, longAnswer)
	p.requests.Intake = p.requests.Bytes / 8
	p.receiveBuffer = int(min(max(bytes/1024, 64<<10), 512<<10))
	return p
}

var byteSize = regexp.MustCompile(`^([0-9]{1,15})(|B|KiB|MiB|GiB|TiB|kB|MB|GB|TB|Ki|Mi|Gi|Ti)$`)

// memory reads MEMORY_BUDGET.
func (r *reader) memory(text string) int64 {
	if text == "" {
		return defaultMemory(memoryLimit())
	}
	return r.size("MEMORY_BUDGET", text, leastMemory, "from 64MiB, such as 512MiB, 1GiB or 536870912")
}

// size reads a number of bytes, with a unit or without. right says which are taken.
func (r *reader) size(name, text string, least int64, right string) int64 {
	units := map[string]int64{"": 1, "B": 1, "kB": 1000, "MB": 1000_000, "GB": 1000_000_000, "TB": 1000_000_000_000,
		"KiB": 1 << 10, "MiB": mib, "GiB": gib, "TiB": gib << 10, "Ki": 1 << 10, "Mi": mib, "Gi": gib, "Ti": gib << 10}
	parts := byteSize.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		r.fault(name, "must be a number of bytes %s", right)
		return least
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	unit := units[parts[2]]
	if err != nil || n > math.MaxInt64/8/unit || n*unit < least {
		r.fault(name, "must be a number of bytes %s", right)
		return least
	}
	return n * unit
}

// defaultMemory is 60 % of what there is, at most 1 GiB.
func defaultMemory(limit int64) int64 {
	if limit <= 0 {
		return mostMemory
	}
	return max(min(limit/10*6, mostMemory), leastMemory)
}

// memoryLimit is what the container may use, or the machine has; 0 if unknown.
func memoryLimit() int64 {
	limit := containerLimit("/proc/self/cgroup", "/sys/fs/cgroup")
	machine := machineMemory("/proc/meminfo")
	if limit == 0 || machine > 0 && machine < limit {
		return machine
	}
	return limit
}

// containerLimit is the smallest limit of the process's control group and those
// above it, 0 where there is none. Version 2 has one hierarchy and memory.max,
// version 1 one for memory and memory.limit_in_bytes; see
// https://docs.kernel.org/admin-guide/cgroup-v2.html and …/cgroup-v1/memory.html.
// In a container the group's path may be the host's, of which nothing is to be
// seen: then the limit is at the root.
func containerLimit(groups, root string) int64 {
	content, err := os.ReadFile(groups)
	if err != nil {
		return 0
	}
	least := int64(0)
	look := func(folder, name string) {
		text, err := os.ReadFile(path.Join(folder, name))
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		// "max", and version 1's largest number, are no limits.
		if err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
			least = n
		}
	}
	walk := func(root, group, name string) {
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			look(path.Join(root, group), name)
			if group == "/" {
				return
			}
		}
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			walk(root, parts[2], "memory.max")
		case oneOf("memory", strings.Split(parts[1], ",")...):
			walk(path.Join(root, "memory"), parts[2], "memory.limit_in_bytes")
		}
	}
	return least
}

// machineMemory is MemTotal of /proc/meminfo in bytes, 0 where there is none.
func machineMemory(file string) int64 {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// LimitMemory gives Go's runtime the soft limit that goes with MEMORY_BUDGET, for the
// whole process. An explicit GOMEMLIMIT stays as it is.
func LimitMemory(config Config, log *slog.Logger) {
	container := containerLimit("/proc/self/cgroup", "/sys/fs/cgroup")
	if explicit := os.Getenv("GOMEMLIMIT"); explicit != "" {
		log.Info("memory", "budget", config.MemoryBudget, "container", container, "GOMEMLIMIT", explicit)
		return
	}
	limit := softLimit(config.MemoryBudget, container)
	debug.SetMemoryLimit(limit)
	log.Info("memory", "budget", config.MemoryBudget, "container", container, "soft_limit", limit)
}

func softLimit(budget, container int64) int64 {
	limit := budget + outsideBudget
	if container > 0 {
		limit = min(limit, container/10*9)
	}
	return limit
}

// memoryMetrics shows a budget's use.
func memoryMetrics(registry prometheus.Registerer, b *budget.Budget) error {
	gauge := func(name, help string, value func(budget.Usage) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(b.Usage()) })
	}
	counter := func(name, help string, value func(budget.Usage) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return value(b.Usage()) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		gauge("crmbridge_memory_budget_bytes", "The part of MEMORY_BUDGET that requests in flight may hold together.",
			func(u budget.Usage) float64 { return float64(u.Bytes) }),
		gauge("crmbridge_memory_used_bytes", "What requests in flight hold of it.",
			func(u budget.Usage) float64 { return float64(u.Used) }),
		gauge("crmbridge_memory_waiting", "Pieces of work that wait for memory.",
			func(u budget.Usage) float64 { return float64(u.Waiting) }),
		counter("crmbridge_memory_waits_total", "How often work has had to wait for memory.",
			func(u budget.Usage) float64 { return float64(u.Waits) }),
		counter("crmbridge_memory_refusals_total", "How often work was refused for want of memory.",
			func(u budget.Usage) float64 { return float64(u.Refused) }),
	} {
		errs = append(errs, registry.Register(c))
	}
	return errors.Join(errs...)
}

// cpuOfCollector shows how much of the processor the garbage collector takes, which
// says whether a process has too little memory for its work.
var cpuOfCollector = collectors.GoRuntimeMetricsRule{
	Matcher: regexp.MustCompile(`^/cpu/classes/(gc/total|idle|total):cpu-seconds$`),
}
