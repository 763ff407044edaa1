package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// profiling are the variables that have crmbridge give profiles.
func (s *speed) profiling() ([]string, error) {
	if s.Profile == "" || s.Binary == "self" {
		return nil, nil
	}
	port, err := s.port()
	if err != nil {
		return nil, err
	}
	s.pprof = devenv.Address(port)
	return []string{"PPROF_ADDR=" + s.pprof}, nil
}

// profileItself has a process of this program write its CPU profiles, one for each 10 s, to the
// row's folder when it is started next.
func (s *speed) profileItself(c *child, row speedRow) error {
	if s.Profile == "" || c.program == s.binary {
		return nil
	}
	folder := filepath.Join(s.Profile, row.Name)
	c.env = append(slices.DeleteFunc(c.env, func(v string) bool { return strings.HasPrefix(v, profileFolder+"=") }),
		profileFolder+"="+folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of profiles: %w", err)
	}
	return nil
}

// profileRow writes a CPU profile of crmbridge while a row is measured, the bare loop's turns
// included, in which crmbridge does nothing. The function that it returns waits for its end.
func (s *speed) profileRow(row speedRow) (wait func()) {
	if s.pprof == "" {
		return func() {}
	}
	seconds := int(float64(s.Rounds) * 2 * (s.Seconds + warm.Seconds()))
	var running sync.WaitGroup
	running.Go(func() {
		path := filepath.Join(s.Profile, row.Name+".pprof")
		if err := fetch(s.ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.pprof, max(seconds, 1)), path); err != nil {
			s.say("no profile of %s: %v", row.Name, err)
		}
	})
	return running.Wait
}

// fetch writes what an address answers to a file.
func fetch(ctx context.Context, address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
