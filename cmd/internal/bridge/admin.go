package bridge

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crmbridge/crmbridge/messages"
)

// adminPages are for the operator's systems: /healthz says that the process
// runs, /readyz that requests reach it and that it can answer them. /asyncapi.json is the
// contract of this deployment, with the tables that it serves.
func (b *Bridge) adminPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", b.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	document := sync.OnceValues(func() ([]byte, error) { return messages.AsyncAPI(b.config.Tables, Version()) })
	mux.HandleFunc("GET /asyncapi.json", func(w http.ResponseWriter, _ *http.Request) {
		text, err := document()
		if err != nil {
			b.log.Error("the AsyncAPI document cannot be written", "error", err)
			answer(w, http.StatusInternalServerError, "the document cannot be written; see the log\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // who has hung up is not told
	})
	return mux
}
