//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleArg as the first argument makes this program a peer or a reader, as the
// second says.
const roleArg = "-as"

// serve obeys orders from standard input until it ends.
func serve(role string) {
	var service any
	switch role {
	case "Peer":
		service = new(Peer)
	case "Reader":
		service = new(Reader)
	default:
		fmt.Fprintf(os.Stderr, "readers: no role %q\n", role)
		os.Exit(2)
	}
	if err := rpc.RegisterName(role, service); err != nil {
		panic(err) // a mistake in the program
	}
	rpc.ServeConn(stdio{os.Stdin, os.Stdout})
}

// stdio makes one stream of a process's two.
type stdio struct {
	io.ReadCloser
	out io.WriteCloser
}

func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s stdio) Close() error                { return errors.Join(s.ReadCloser.Close(), s.out.Close()) }

// none is the argument or the reply of orders that have none.
type none = struct{}

// process is a peer or a reader, seen by the coordinator.
type process struct {
	role   string
	cmd    *exec.Cmd
	client *rpc.Client
	ended  chan struct{}
}

// start runs this program again in a role, on one core or anywhere (cpu < 0).
func start(role string, cpu int) (*process, error) {
	cmd := exec.Command("/proc/self/exe", roleArg, role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.ended)
		// The affinity is a thread's, and has to be there before exec: that is
		// when the Go runtime sets GOMAXPROCS. The process is killed when this
		// thread ends, which it does with the goroutine: it is never unlocked.
		runtime.LockOSThread()
		err := pin(cpu)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_, _ = cmd.Process.Wait() // not cmd.Wait, which closes out too early
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start a %s: %w", role, err)
	}
	p.client = rpc.NewClient(stdio{out, in})
	return p, nil
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

// patience is longer than any order takes.
const patience = 15 * time.Second

// call gives an order and waits. A process that does not obey is ended, with
// its goroutines printed.
func (p *process) call(order string, args, reply any) error {
	done := p.client.Go(p.role+"."+order, args, reply, make(chan *rpc.Call, 1)).Done
	select {
	case c := <-done:
		if c.Error != nil {
			return fmt.Errorf("%s.%s: %w", p.role, order, c.Error)
		}
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(unix.SIGQUIT)
		return fmt.Errorf("%s.%s: no answer", p.role, order)
	}
}

// close ends the process, whose TAP goes with it.
func (p *process) close() {
	_ = p.client.Close()
	<-p.ended
}
