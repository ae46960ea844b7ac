package main

import (
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A cancelled program gets this long to end by itself.
const grace = 5 * time.Second

// children are the processes that this host has started and that still run.
type children struct {
	mutex   sync.Mutex
	running map[*exec.Cmd]struct{}
	stopped bool
}

// start starts the process and remembers it until forget.
func (c *children) start(cmd *exec.Cmd) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if c.running == nil {
		c.running = map[*exec.Cmd]struct{}{}
	}
	c.running[cmd] = struct{}{}
	return nil
}

func (c *children) forget(cmd *exec.Cmd) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.running, cmd)
}

// run starts the process and waits for its end.
func (c *children) run(cmd *exec.Cmd) error {
	if err := c.start(cmd); err != nil {
		return err
	}
	defer c.forget(cmd)
	return cmd.Wait()
}

// stop ends every process and returns at once; what still runs after the grace is killed. It does
// not interrupt: Python answers that with a stack trace that tells the user nothing.
func (c *children) stop() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stopped = true
	for cmd := range c.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	time.AfterFunc(grace, c.kill)
}

func (c *children) wasStopped() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.stopped
}

func (c *children) kill() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for cmd := range c.running {
		_ = cmd.Process.Kill()
	}
}
