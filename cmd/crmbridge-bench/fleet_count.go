package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// A fleetCost is what something took, of everything that the fleet uses.
type fleetCost struct {
	Commands  float64 `json:"redis_commands"`   // those inside scripts too
	RedisIn   float64 `json:"redis_bytes_in"`   // to Redis
	RedisOut  float64 `json:"redis_bytes_out"`  // from Redis
	Messages  float64 `json:"nats_messages"`    // of crmbridge's connections, both ways
	NATSBytes float64 `json:"nats_bytes"`       // of these, payload and headers
	CPU       float64 `json:"cpu_microseconds"` // of all processes of crmbridge
	RedisCPU  float64 `json:"redis_cpu_microseconds"`
	NATSCPU   float64 `json:"nats_cpu_microseconds"`
	Seconds   float64 `json:"-"`
}

// values are the figures of a cost, in their order.
func (c *fleetCost) values() []*float64 {
	return []*float64{&c.Commands, &c.RedisIn, &c.RedisOut, &c.Messages, &c.NATSBytes, &c.CPU, &c.RedisCPU, &c.NATSCPU,
		&c.Seconds}
}

// less is what is left of a cost without another one, so many times.
func (c fleetCost) less(other fleetCost, times float64) fleetCost {
	from := other.values()
	for i, v := range c.values() {
		*v -= times * *from[i]
	}
	return c
}

// over is the part of each of n.
func (c fleetCost) over(n float64) fleetCost {
	for _, v := range c.values() {
		*v /= n
	}
	return c
}

// during measures what work costs, of each of n. idle is what the fleet takes in a second
// without it; nil where it is wanted too.
func (f *fleetRun) during(n int, idle *fleetCost, work func() error) (fleetCost, error) {
	before, err := f.look()
	if err != nil {
		return fleetCost{}, err
	}
	begun := time.Now()
	if err := work(); err != nil {
		return fleetCost{}, err
	}
	after, err := f.look()
	if err != nil {
		return fleetCost{}, err
	}
	cost := after.less(before, 1).less(f.looking, 1)
	cost.Seconds = time.Since(begun).Seconds()
	if idle != nil {
		seconds := cost.Seconds
		cost = cost.less(*idle, seconds)
		cost.Seconds = seconds
	}
	return cost.over(float64(n)), nil
}

// calibrate finds out what a look itself adds to Redis's figures, while no fleet is there.
func (f *fleetRun) calibrate() error {
	for range 2 { // the first one connects
		before, err := f.look()
		if err != nil {
			return err
		}
		after, err := f.look()
		if err != nil {
			return err
		}
		f.looking = fleetCost{Commands: after.Commands - before.Commands, RedisIn: after.RedisIn - before.RedisIn,
			RedisOut: after.RedisOut - before.RedisOut}
	}
	info, err := f.info()
	f.own = int(info["connected_clients"])
	return err
}

// look reads all counters.
func (f *fleetRun) look() (fleetCost, error) {
	info, err := f.info()
	if err != nil {
		return fleetCost{}, err
	}
	c := fleetCost{Commands: info["total_commands_processed"], RedisIn: info["total_net_input_bytes"],
		RedisOut: info["total_net_output_bytes"]}
	links, err := f.natsLinks()
	if err != nil {
		return c, err
	}
	for _, l := range links {
		c.Messages += float64(l.InMsgs + l.OutMsgs)
		c.NATSBytes += float64(l.InBytes + l.OutBytes)
	}
	cost := f.cost()
	c.CPU, c.RedisCPU, c.NATSCPU = micros(cost.fleet), micros(cost.redis), micros(cost.nats)
	return c, nil
}

func micros(d time.Duration) float64 { return float64(d.Microseconds()) }

// info are Redis's numbers by name.
func (f *fleetRun) info() (map[string]float64, error) {
	text, err := f.rdb.Info(f.ctx, "everything").Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis for its figures: %w", err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = n
		}
	}
	return all, nil
}

// A natsLink is one connection as the NATS server tells of it.
type natsLink struct {
	Name     string `json:"name"`
	InMsgs   int64  `json:"in_msgs"`
	OutMsgs  int64  `json:"out_msgs"`
	InBytes  int64  `json:"in_bytes"`
	OutBytes int64  `json:"out_bytes"`
	Subs     int    `json:"subscriptions"`
}

// natsLinks are the connections of crmbridge.
func (f *fleetRun) natsLinks() (of []natsLink, err error) {
	for _, port := range f.cluster.monitors {
		var answer struct {
			Connections []natsLink `json:"connections"`
		}
		text, err := getPage(f.ctx, "http://"+devenv.Address(port)+"/connz?limit=1024")
		if err == nil {
			err = json.Unmarshal(text, &answer)
		}
		if err != nil {
			return nil, fmt.Errorf("ask NATS for its connections: %w", err)
		}
		for _, l := range answer.Connections {
			if l.Name != benchName {
				of = append(of, l)
			}
		}
	}
	if len(of) < len(f.fleet) {
		return nil, fmt.Errorf("NATS tells of %d connections of %d processes", len(of), len(f.fleet))
	}
	return of, nil
}

// benchName is the name of the bench's own connection; nats.go.
const benchName = "bench"

// getPage reads a page of at most 16 MiB.
func getPage(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 16<<20))
}

// kept is how much memory the processes have after each has collected its garbage.
func (f *fleetRun) kept() (bytes int64, err error) {
	for _, c := range f.fleet {
		before := collections(c.child)
		if err := askToCollect(c.pid()); err != nil {
			return 0, err
		}
		if err := await(f.ctx, 30*time.Second, c.name+" collects its garbage", func(context.Context) error {
			if collections(c.child) == before {
				return errors.New("it has not said so")
			}
			return nil
		}); err != nil {
			return 0, err
		}
		bytes += resident(c.pid())
	}
	return bytes, nil
}

// collected is what a process says when it has.
const collected = "garbage was collected"

// collections is how often a process has said that it did.
func collections(c *child) int { return strings.Count(c.tail(1<<20), collected) }

// sizes counts what the processes hold open, and what the servers hold.
func (f *fleetRun) sizes(c *fleetCell) error {
	for _, one := range f.fleet {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", one.pid()))
		if err != nil {
			return err
		}
		c.Files += len(files)
	}
	info, err := f.info()
	if err != nil {
		return err
	}
	c.RedisMemory = int64(info["used_memory"])
	c.RedisLinks = int(info["connected_clients"]) - f.own
	links, err := f.natsLinks()
	if err != nil {
		return err
	}
	for _, l := range links {
		c.Subs += l.Subs
	}
	for _, s := range f.cluster.servers {
		c.NATSMemory += resident(s.pid())
	}
	return nil
}

// tokenRequests is how many answers the processes have had of the token endpoint.
func (f *fleetRun) tokenRequests() (n float64, err error) {
	for _, c := range f.fleet {
		text, err := getPage(f.ctx, c.admin+"/metrics")
		if err != nil {
			return 0, fmt.Errorf("read the metrics of %s: %w", c.name, err)
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.HasPrefix(name, "crmbridge_token_requests_total{") {
				continue
			}
			if !strings.Contains(name, `code="ok"`) {
				if value != "0" {
					return 0, fmt.Errorf("a renewal failed: %s %s", name, value)
				}
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			n += v
		}
	}
	return n, nil
}
