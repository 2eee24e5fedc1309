package world

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Tool is the path of a program that comes with the Debian package pkg. Where
// it is missing the test is skipped, or with TAPSTACK_REQUIRE_TOOLS=1 fails.
func Tool(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	// Where Debian keeps servers, and ordinary users do not look.
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path
	}
	if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
		t.Fatalf("TAPSTACK_REQUIRE_TOOLS=1, but: %v", err)
	}
	t.Skipf("no %s: apt-get install %s", name, pkg)
	return ""
}

// Run runs a program on the kernel's host to its end. It returns what the
// program wrote to standard output, and its exit status; stdin may be nil.
func (l *Link) Run(t testing.TB, stdin io.Reader, path string, args ...string) (stdout string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(Within(t), t.TempDir(), path, args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	cmd.WaitDelay = 5 * time.Second // for a stdin that never ends
	// All of Run, so that the thread that starts the process outlives it:
	// see command.
	err := l.ns.Do(cmd.Run)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%v: %v\n%s%s", cmd, err, &out, &errs)
	}
	if errs.Len() > 0 {
		t.Logf("%v: %s", cmd, &errs)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// Start starts a program on the kernel's host and returns when it has written
// ready, to either output. The program ends with the test, at the latest.
func (l *Link) Start(t testing.TB, ready, path string, args ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := command(ctx, t.TempDir(), path, args)
	// On SIGTERM a server ends in order; five seconds later it just ends.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	w := newWatch(ready)
	cmd.Stdout, cmd.Stderr = w, w
	stdin, err := cmd.StdinPipe() // a server that reads it must not see its end
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.ns.Do(cmd.Run) }()
	finish := func(err error) {
		stop()
		_ = stdin.Close()
		if t.Failed() {
			t.Logf("%v: %v\n%s", cmd, err, w)
		}
	}
	select {
	case <-w.seen:
		t.Cleanup(func() { stop(); finish(<-done) })
	case err := <-done:
		t.Errorf("%v ended and never said %q", cmd, ready)
		finish(err)
		t.FailNow()
	case <-Within(t).Done():
		t.Errorf("%v never said %q", cmd, ready)
		stop()
		finish(<-done)
		t.FailNow()
	}
}

// command is a program that knows of nothing but its arguments, and that dies
// with the thread that starts it.
func command(ctx context.Context, home, path string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// watch keeps what is written to it and looks for a word.
type watch struct {
	word string
	seen chan struct{} // closed when word was written

	mu    sync.Mutex
	out   bytes.Buffer
	found bool
}

func newWatch(word string) *watch { return &watch{word: word, seen: make(chan struct{})} }

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Write(p)
	if !w.found && strings.Contains(w.out.String(), w.word) {
		w.found = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}
