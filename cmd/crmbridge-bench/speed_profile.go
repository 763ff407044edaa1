package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// profiling are the variables that have crmbridge give profiles.
func (s *speed) profiling() []string {
	if s.Profile == "" {
		return nil
	}
	port, err := s.port()
	if err != nil {
		s.say("no profiles: %v", err)
		return nil
	}
	s.pprof = devenv.Address(port)
	return []string{"PPROF_ADDR=" + s.pprof, profileFolder + "=" + s.Profile}
}

// profileRow writes a CPU profile of crmbridge while a row is measured, the bare loop's turns
// included, in which crmbridge does nothing. The function that it returns waits for its end.
func (s *speed) profileRow(row speedRow) (wait func()) {
	if s.Profile == "" || s.binary == "" { // its own code writes profiles itself
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
