package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// startRedis starts a redis-server that can be killed and started again; where none is
// installed, a miniredis in this process, which cannot.
func (w *world) startRedis() error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		w.say("Redis: miniredis in this process, since no redis-server is installed; it is not restarted")
		services, err := devenv.Start(devenv.Ports{NATS: devenv.None, Emulator: devenv.None}, w.options, nil)
		if err != nil {
			return err
		}
		w.redisURL = services.RedisURL
		w.onStop(services.Stop)
		return nil
	}
	port, err := w.port()
	if err != nil {
		return err
	}
	folder := filepath.Join(w.folder, "redis")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make a folder for Redis: %w", err)
	}
	w.redis = &child{name: "redis", program: program, folder: w.folder, env: []string{"PATH=" + os.Getenv("PATH")},
		args: []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
			"--appendfsync", "everysec", "--dir", folder, "--loglevel", "warning"}}
	w.redisURL = fmt.Sprintf("redis://127.0.0.1:%d/0", port)
	w.onStop(func() error { w.redis.kill(); return nil })
	w.say("Redis: %s", program)
	if err := w.redis.start(); err != nil {
		return err
	}
	return await(w.ctx, 30*time.Second, "redis-server", func(context.Context) error {
		c, err := net.DialTimeout("tcp", devenv.Address(port), time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}
