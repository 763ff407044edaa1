package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A side answers requests: the bare loop, or crmbridge.
type side struct {
	name      string
	subject   string // up to the connection
	bare      bool
	processes []*child
}

// sides are both, each with as many processes, which run.
func (s *speed) sides(n int) []side {
	crmbridges := make([]*child, n)
	for i := range crmbridges {
		crmbridges[i] = s.fleet[i].child
	}
	return []side{
		{name: "bare", subject: bareSubject, bare: true, processes: s.bares[:n]},
		{name: "crmbridge", subject: accountsSearch.Subject() + ".", processes: crmbridges},
	}
}

// running has as many processes of both sides run, and not one more.
func (s *speed) running(n int) error {
	for len(s.bares) < n {
		c, err := itself("bare"+strconv.Itoa(len(s.bares)+1), s.folder, nil, "bare", "--nats="+s.cluster.url(),
			"--upstream="+s.emulatorURL,
			"--token="+strings.Repeat("a", 1500)) // as long as Microsoft's are
		if err != nil {
			return err
		}
		s.onStop(func() error { c.kill(); return nil })
		s.bares = append(s.bares, c)
	}
	for len(s.fleet) < n {
		if _, err := s.addCrmbridge(nil); err != nil {
			return err
		}
	}
	for i, c := range s.bares {
		if err := running(c, i < n); err != nil {
			return err
		}
	}
	for i, c := range s.fleet {
		if err := running(c.child, i < n); err != nil {
			return err
		}
	}
	for _, c := range s.fleet[:n] {
		if err := await(s.ctx, 2*time.Minute, c.name, c.ready); err != nil {
			return fmt.Errorf("%w; its log ends with:\n%s", err, c.tail(2000))
		}
	}
	return nil
}

// running has one process run, or end; its log ends with it, or logs would fill the disk.
func running(c *child, runs bool) error {
	if runs {
		return c.start()
	}
	c.end(interrupt)
	if err := os.Remove(c.logFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a log: %w", err)
	}
	return nil
}
