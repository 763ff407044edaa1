package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminPages are for the operator's systems: /healthz says that the process
// runs, /readyz that requests reach it and that it can answer them.
func (b *Bridge) adminPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { say(w, b.ready(r.Context())) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{}))
	return mux
}

func (b *Bridge) ready(ctx context.Context) error {
	consumer := b.consumer.Load()
	if consumer == nil {
		return errors.New("starting: waiting for NATS or Redis")
	}
	if err := consumer.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := b.redis.Ping(ctx).Err(); err != nil {
		return errors.New("no answer from Redis")
	}
	return nil
}

func say(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}
