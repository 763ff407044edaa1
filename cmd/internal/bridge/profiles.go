package bridge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// Profiles are served to this machine alone (PPROF_ADDR) and are not net/http/pprof's
// pages, whose import puts them on http.DefaultServeMux and which tell more than a profile
// does: the command line, where a secret may stand as a flag, and goroutines with the words
// that their functions were called with. What is served here is counts by stack, and in a
// trace times by stack: function names, files and lines of the program, addresses of its
// code, and no value that it works with. Nothing in crmbridge sets a profiling label.

const (
	profileMost   = 60 * time.Second // for a profile or trace of some time
	profileCPU    = 30 * time.Second // where the length is not said, as in net/http/pprof
	profileTrace  = time.Second
	profileWriter = 30 * time.Second // for the answer to be taken, after its time
)

// profilePaths is what the index lists.
const profilePaths = `profiles of crmbridge, for go tool pprof and go tool trace

/debug/pprof/profile?seconds=30   CPU, for as long (up to 60)
/debug/pprof/heap                 memory in use (?gc=1 collects garbage first)
/debug/pprof/allocs               memory allocated since the start
/debug/pprof/goroutine            goroutines by stack (?debug=1 as text)
/debug/pprof/threadcreate         threads by the stack that made them
/debug/pprof/trace?seconds=1      execution trace, for as long (up to 60)
`

// profiles serves profiles, one at a time.
func profiles() http.Handler {
	turn := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, profilePaths)
	})
	one := func(take http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
				take(w, r)
			default:
				w.Header().Set("Retry-After", "1")
				answer(w, http.StatusServiceUnavailable, "another profile is being taken; try again when it has ended\n")
			}
		}
	}
	mux.HandleFunc("GET /debug/pprof/profile", one(overTime(profileCPU, pprof.StartCPUProfile, pprof.StopCPUProfile)))
	mux.HandleFunc("GET /debug/pprof/trace", one(overTime(profileTrace, trace.Start, trace.Stop)))
	for _, name := range []string{"heap", "allocs", "goroutine", "threadcreate"} {
		mux.HandleFunc("GET /debug/pprof/"+name, one(counts(name)))
	}
	return thisMachine(mux)
}

// thisMachine refuses what is not addressed to this machine: a page in a browser here may
// have a name of its own lead to the loopback address, and would read what is answered.
func thisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !loopback(strings.Trim(host, "[]")) || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			answer(w, http.StatusForbidden, "profiles are for this machine: ask 127.0.0.1 or localhost\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// overTime takes what is written between start and stop, for ?seconds=.
func overTime(standard time.Duration, start func(io.Writer) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		length := standard
		if text := r.FormValue("seconds"); text != "" {
			n, err := strconv.Atoi(text)
			if most := int(profileMost / time.Second); err != nil || n < 1 || n > most {
				answer(w, http.StatusBadRequest, fmt.Sprintf("seconds must be a whole number from 1 to %d\n", most))
				return
			}
			length = time.Duration(n) * time.Second
		}
		binary(w)
		if err := start(w); err != nil {
			answer(w, http.StatusConflict, err.Error()+"\n")
			return
		}
		defer stop()
		end := time.NewTimer(length)
		defer end.Stop()
		select {
		case <-end.C:
		case <-r.Context().Done(): // nobody waits for it any more, or the process ends
		}
	}
}

// counts writes one of the runtime's profiles.
func counts(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		debug := 0
		switch r.FormValue("debug") {
		case "", "0":
			binary(w)
		case "1":
			debug = 1
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
		default:
			answer(w, http.StatusBadRequest, "debug must be 0 or 1: 2 would show the words that functions were called with\n")
			return
		}
		if name == "heap" && r.FormValue("gc") == "1" {
			runtime.GC()
		}
		_ = pprof.Lookup(name).WriteTo(w, debug) // whoever asked has gone
	}
}

func binary(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
}

// serveProfiles listens at PPROF_ADDR, if there is one. A profile that is being taken when
// the process stops ends then.
func (b *Bridge) serveProfiles() error {
	if b.config.PprofAddr == "" {
		return nil
	}
	life, end := context.WithCancel(context.Background())
	server := &http.Server{Handler: profiles(), ReadTimeout: profileMost + profileWriter,
		WriteTimeout: profileMost + profileWriter,
		BaseContext:  func(net.Listener) context.Context { return life }}
	if err := b.serve("PPROF_ADDR", b.config.PprofAddr, server); err != nil {
		end()
		return err
	}
	b.onStop(func(context.Context) error { end(); return nil }) // before the server waits for it
	b.log.Info("profiles are served", "address", "http://"+b.config.PprofAddr+"/debug/pprof/")
	return nil
}

// profilesAddr reads PPROF_ADDR: a loopback address, which one without a host is too.
func (r *reader) profilesAddr(text string) string {
	if text == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		r.fault("PPROF_ADDR", "must be an address such as 127.0.0.1:6060 or :6060")
	case host == "":
		host = "127.0.0.1"
	case !loopback(host):
		r.fault("PPROF_ADDR", "%s is not a loopback address, and nothing protects profiles from whoever reaches them; "+
			"right would be 127.0.0.1:%s or :%s (deploy/README.md says how to reach it in a container)", host, port, port)
	}
	return net.JoinHostPort(host, port)
}

// sharesPort reports whether the address of profiles cannot be listened at beside another.
func sharesPort(profiles, other string) bool {
	host, port, err := net.SplitHostPort(profiles)
	otherHost, otherPort, otherErr := net.SplitHostPort(other)
	if err != nil || otherErr != nil {
		return false
	}
	one, _ := strconv.ParseUint(port, 10, 16) // 08081 is 8081
	two, _ := strconv.ParseUint(otherPort, 10, 16)
	if one == 0 || one != two {
		return false
	}
	ip := net.ParseIP(otherHost)
	return otherHost == "" || otherHost == host || ip != nil && ip.IsUnspecified()
}
