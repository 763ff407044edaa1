package bridge

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminPages are for the operator's systems: /healthz says that the process
// runs, /readyz that requests reach it and that it can answer them.
func (b *Bridge) adminPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", b.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux
}
