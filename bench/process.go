//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

// patience is what an order may take beyond the time it is meant to.
const patience = 15 * time.Second

// process is a peer or a system under test, seen by the coordinator.
type process struct {
	role string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	said head // on stderr
	done chan struct{}
}

// startProcess runs this program again in ns, in a role, on one core or
// anywhere (cpu < 0).
//
// Namespace and affinity are the starting thread's. The affinity has to be
// there before exec: that is when the Go runtime sets GOMAXPROCS.
func startProcess(ns *netns.NS, role string, cpu int, verbose bool) (*process, error) {
	p := &process{role: role, done: make(chan struct{})}
	p.cmd = exec.Command("/proc/self/exe", roleArg, role)
	p.cmd.Stderr = &p.said
	if verbose {
		p.cmd.Stderr = io.MultiWriter(&p.said, os.Stderr)
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it with an answer still inside.
	out, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	p.in, p.out, p.cmd.Stdout = in, json.NewDecoder(out), outW

	err = launch(ns, p.cmd, cpu, p.done, func() { _ = out.Close() })
	_ = outW.Close() // so that out ends with the process
	if err != nil {
		_ = in.Close()
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	return p, nil
}

// launch starts cmd in ns, on one core or anywhere (cpu < 0). When it has ended
// atEnd is called and done closed, also if it has not begun.
func launch(ns *netns.NS, cmd *exec.Cmd, cpu int, done chan<- struct{}, atEnd func()) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started := make(chan error, 1)
	go func() {
		defer close(done)
		defer atEnd()
		// Pdeathsig goes off when the thread that started the process ends,
		// so the thread stays to wait for it.
		err := ns.Do(func() error {
			if err := pin(cpu); err != nil {
				return err
			}
			if err := cmd.Start(); err != nil {
				return err
			}
			started <- nil
			_ = cmd.Wait() // how it ended is in ProcessState
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	return <-started
}

// pin binds the calling thread, and what it starts, to one core.
func pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to core %d: %w", cpu, err)
	}
	return nil
}

// call gives an order and waits for the answer. One that does not come in time
// ends the process, with its goroutines printed.
func (p *process) call(ctx context.Context, o order) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Warm+o.Span+patience)
	defer cancel()
	var a answer
	var err error
	got := make(chan struct{})
	go func() {
		defer close(got)
		if err = json.NewEncoder(p.in).Encode(o); err == nil {
			err = p.out.Decode(&a)
		}
	}()
	select {
	case <-got:
		if err != nil {
			p.kill()
			return a, fmt.Errorf("%s, %s: it ended: %v%s", p.role, o.Op, p.cmd.ProcessState, p.said.indented())
		}
		if err := a.err(); err != nil {
			return a, fmt.Errorf("%s, %s: %w", p.role, o.Op, err)
		}
		return a, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			p.dump()
		}
		p.kill()
		<-got
		return answer{}, fmt.Errorf("%s, %s: %w%s", p.role, o.Op, ctx.Err(), p.said.indented())
	}
}

// dump has the Go runtime print its goroutines and exit.
func (p *process) dump() {
	_ = p.cmd.Process.Signal(unix.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
	}
}

// kill ends the process and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it is gone already
	<-p.done
}

// head keeps the beginning of what is written to it: where a crash says why.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, p[:min(len(p), 64<<10-len(h.text))]...)
	return len(p), nil
}

func (h *head) indented() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.text) == 0 {
		return ""
	}
	return "\n" + string(h.text)
}
