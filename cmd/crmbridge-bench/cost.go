package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"
)

// A cost is the CPU time that the parts of a world have taken since they began.
type cost struct{ fleet, nats, redis, bench time.Duration }

// cost is what the parts have taken by now; zeros where the system does not tell.
func (w *world) cost() (c cost) {
	sum := func(into *time.Duration, of ...*child) {
		for _, one := range of {
			if one == nil || one.pid() == 0 {
				continue
			}
			if took, err := cpuTime(one.pid()); err == nil {
				*into += took
			}
		}
	}
	for _, one := range w.fleet {
		sum(&c.fleet, one.child)
	}
	sum(&c.nats, w.cluster.servers...)
	sum(&c.redis, w.redis)
	if took, err := cpuTime(os.Getpid()); err == nil {
		c.bench = took
	}
	return c
}

// since is what was taken since an earlier look, of each of n jobs.
func (c cost) since(before cost, n int) string {
	each := func(now, then time.Duration) int64 { return (now - then).Microseconds() / int64(max(n, 1)) }
	return fmt.Sprintf("CPU a job: %d µs crmbridge, %d µs NATS, %d µs Redis, %d µs this process (Dataverse, client)",
		each(c.fleet, before.fleet), each(c.nats, before.nats), each(c.redis, before.redis), each(c.bench, before.bench))
}

// profileFolder names the variable with the folder that every process writes CPU profiles to,
// one for each 10 s. The bench hands it on to its processes.
const profileFolder = "CRMBRIDGE_BENCH_PROFILE"

// profile writes CPU profiles where that is asked for, until the function that it returns is
// called.
func profile(name string) (stop func()) {
	folder := os.Getenv(profileFolder)
	if folder == "" {
		return func() {}
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for n := 0; ; n++ {
			file, err := os.Create(filepath.Join(folder, fmt.Sprintf("%s-%d-%02d.pprof", name, os.Getpid(), n)))
			if err != nil || pprof.StartCPUProfile(file) != nil {
				fmt.Fprintln(os.Stderr, "no CPU profile is written to", folder, err)
				return
			}
			ended := false
			select {
			case <-done:
				ended = true
			case <-time.After(10 * time.Second):
			}
			pprof.StopCPUProfile()
			_ = file.Close()
			if ended {
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(done); running.Wait() })
}

// profiled hands the variable on.
func profiled(env []string) []string {
	if folder := os.Getenv(profileFolder); folder != "" {
		return append(env, profileFolder+"="+folder)
	}
	return env
}
