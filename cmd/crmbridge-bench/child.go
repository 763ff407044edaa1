package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// beTheProgram tells a test binary that it is started as a child of the bench.
const beTheProgram = "CRMBRIDGE_BENCH_CHILD"

// A child is a process that may be killed, paused and started again. Where the bench itself is
// killed its children end with it: on Linux by the kernel; elsewhere those that are this program,
// since their standard input is a pipe that nobody writes to, which ends then.
type child struct {
	name    string
	program string
	args    []string
	env     []string
	folder  string // where its log goes

	mu      sync.Mutex
	process *exec.Cmd // nil where it does not run
	stdin   io.Closer
	paused  bool
	ended   chan struct{}
}

// itself is a child that runs a command of this program.
func itself(name, folder string, env []string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the bench's own program: %w", err)
	}
	env = append([]string{beTheProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + folder}, env...)
	return &child{name: name, program: self, args: args, env: profiled(env), folder: folder}, nil
}

// endWithParent ends a child when the bench is gone.
func endWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the pipe does
		os.Exit(1)
	}()
}

func (c *child) logFile() string { return filepath.Join(c.folder, c.name+".log") }

// start starts the process, if it does not run.
func (c *child) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		return nil
	}
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(c.program, c.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, log, log
	cmd.SysProcAttr = endsWithBench()
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.process, c.paused, c.ended = cmd, false, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.process == cmd {
			c.process = nil
		}
	}(c.ended)
	return nil
}

// interrupt asks a process to end in order.
var interrupt = os.Interrupt

// kill ends the process at once and waits until it is gone.
func (c *child) kill() { c.end(os.Kill) }

// end signals the process and waits until it is gone.
func (c *child) end(signal os.Signal) {
	c.mu.Lock()
	cmd, ended := c.process, c.ended
	c.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(signal) // it may be gone already
	<-ended
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == cmd {
		c.process = nil
	}
}

// pid is the process's id; 0 where it does not run.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return 0
	}
	return c.process.Process.Pid
}

// pause stops the process where it is. It reports false where it does not run or is paused.
func (c *child) pause() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil || c.paused || signalStop(c.process.Process) != nil {
		return false
	}
	c.paused = true
	return true
}

// resume lets a paused process go on, if it is the same still.
func (c *child) resume(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil || !c.paused || c.process.Process.Pid != pid {
		return
	}
	c.paused = false
	_ = signalContinue(c.process.Process) // it may be gone already
}

// tail is the end of the process's log.
func (c *child) tail(bytes int64) string {
	file, err := os.Open(c.logFile())
	if err != nil {
		return ""
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil && size > bytes {
		_, err = file.Seek(-bytes, io.SeekEnd)
		if err != nil {
			return ""
		}
	} else if _, err = file.Seek(0, io.SeekStart); err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(file, bytes))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(text)
}
