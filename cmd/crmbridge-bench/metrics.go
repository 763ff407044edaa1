package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// jobMetrics are a process's metrics of jobs, those that are not 0.
func (c *crmbridge) jobMetrics(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+"/metrics", nil)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err.Error()
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "crmbridge_jobs_") && !strings.HasSuffix(line, " 0") {
			found = append(found, strings.TrimPrefix(line, "crmbridge_jobs_"))
		}
	}
	return strings.Join(found, ", ")
}
