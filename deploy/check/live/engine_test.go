package live

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

// newest asks what a Prometheus that has ended read, in the words and with the engine of
// Prometheus's current release: Debian's is some years older.
func newest(t *testing.T, data string) (query func(string, time.Time) ([]sample, error)) {
	t.Helper()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = 0 // nothing of it is too old
	db, err := tsdb.Open(data, nil, nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.DisableCompactions()
	engine := promql.NewEngine(promql.EngineOpts{Timeout: patience, MaxSamples: 50_000_000,
		Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { _ = engine.Close() })
	return func(expr string, at time.Time) ([]sample, error) {
		asked, err := engine.NewInstantQuery(context.Background(), db, nil, expr, at)
		if err != nil {
			return nil, err
		}
		defer asked.Close()
		result := asked.Exec(context.Background())
		if result.Err != nil {
			return nil, result.Err
		}
		switch value := result.Value.(type) {
		case promql.Scalar:
			return []sample{{}}, nil
		case promql.Vector:
			samples := make([]sample, len(value))
			for i, one := range value {
				samples[i].Metric = one.Metric.Map()
			}
			return samples, nil
		default:
			return nil, fmt.Errorf("%s is a %s", expr, value.Type())
		}
	}
}
