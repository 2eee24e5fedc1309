package life

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"tapstack/tap"
)

func init() {
	programs["hold"] = hold
	programs["drain"] = drain
	programs["reload"] = reload
}

// Where a child finds what it is to work on.
const (
	childDir = "TAPSTACK_LIFE_TEST_DIR"
	childTAP = "TAPSTACK_LIFE_TEST_TAP"
)

// told is what a child that holds everything says of it.
type told struct {
	Running, Left bool
	PID           int
	Err           string
}

// hold takes over what is there and keeps it until it is killed, or its
// standard input ends.
func hold() int {
	say := func(t told) int {
		_ = json.NewEncoder(os.Stdout).Encode(t)
		return 0
	}
	dir := os.Getenv(childDir)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Take(ctx, dir+"/lock")
	var running *RunningError
	if errors.As(err, &running) {
		return say(told{Running: true, PID: running.PID})
	}
	if err != nil {
		return say(told{Err: err.Error()})
	}
	l, err := Listen(c, dir+"/control.sock", SocketConfig{Mode: 0o660})
	if err != nil {
		return say(told{Err: err.Error()})
	}
	if name := os.Getenv(childTAP); name != "" {
		dev, err := tap.Open(&tap.Config{Name: name, Adopt: true})
		if err != nil {
			return say(told{Err: err.Error()})
		}
		defer dev.Close()
	}
	go func() {
		for {
			peer, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(peer, "%d\n", os.Getpid())
			peer.Close()
		}
	}()
	say(told{Left: c.Left, PID: c.PID})
	_, _ = io.Copy(io.Discard, os.Stdin)
	l.Close()
	if err := c.Release(); err != nil {
		return 5
	}
	return 0
}

// drain never gets to its end.
func drain() int {
	s := Catch(context.Background())
	fmt.Println("up")
	<-s.Drain.Done()
	fmt.Println(context.Cause(s.Drain))
	select {}
}

// reload counts what it is told.
func reload() int {
	s := Catch(context.Background())
	fmt.Println("up")
	for {
		select {
		case <-s.Reload:
			fmt.Println("reload")
		case <-s.Drain.Done():
			s.Stop()
			s.Stop()
			fmt.Println("end")
			return 0
		}
	}
}

// process is a child.
type process struct {
	*exec.Cmd
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

// spawn prepares a child; Start it.
func spawn(t *testing.T, mode string, env ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	p := &process{Cmd: exec.CommandContext(ctx, "/proc/self/exe"), t: t}
	p.Env = append(append(os.Environ(), childMode+"="+mode), env...)
	p.Stderr = os.Stderr
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	t.Cleanup(func() {
		cancel()
		p.in.Close()
		if p.Process != nil && p.ProcessState == nil {
			_ = p.Wait() // killed
		}
	})
	return p
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func (p *process) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("the child has ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *process) told() (w told) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.line()), &w); err != nil {
		p.t.Fatal(err)
	}
	if w.Err != "" {
		p.t.Fatal(w.Err)
	}
	return w
}

// kill is kill -9, and does not wait for the end.
func (p *process) kill() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
}

// reap waits for the end and says of which signal it came, 0 for none.
func (p *process) reap() syscall.Signal {
	p.t.Helper()
	_ = p.Wait()
	ws := p.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return ws.Signal()
	}
	if ws.ExitStatus() != 0 {
		p.t.Errorf("exit status %d", ws.ExitStatus())
	}
	return 0
}
