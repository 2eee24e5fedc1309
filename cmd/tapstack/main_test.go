package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tapstack/internal/netns/netnstest"
)

// program is the built tapstack, for what has to be a process of its own.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "tapstack")
	build := exec.Command("go", "build", "-o", program, ".")
	// Static, so that it also runs where there is nothing else.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = netnstest.Main(m)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// call is run without a process around it.
func call(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

func TestHelpAndVersion(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"", []string{"Usage:", "run", "version"}},
		{"help", []string{"Usage:"}},
		{"run --help", []string{"--nic", "--address", "--config", "--route", "Examples:"}},
		{"version", []string{"tapstack ", runtime.Version()}},
		{"version --json", []string{`"tapstack": `, `"go": "` + runtime.Version() + `"`}},
	} {
		status, stdout, stderr := call(strings.Fields(c.args)...)
		if status != 0 || stderr != "" {
			t.Errorf("tapstack %s: status %d, stderr %q", c.args, status, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("tapstack %s: no %q in\n%s", c.args, want, stdout)
			}
		}
	}
}

// checkRefusal demands status 2, nothing on stdout, and one line on stderr
// that contains want.
func checkRefusal(t *testing.T, status int, stdout, stderr, want string) {
	t.Helper()
	if status != 2 || stdout != "" {
		t.Errorf("status %d, stdout %q; want 2 and nothing", status, stdout)
	}
	line, rest, _ := strings.Cut(stderr, "\n")
	if !strings.HasPrefix(line, "tapstack: ") || rest != "" {
		t.Errorf("stderr is not one line beginning with \"tapstack: \":\n%s", stderr)
	}
	if !strings.Contains(line, want) {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"rnu", `unknown command "rnu" for "tapstack"`},
		{"--nic tap0", `unknown flag: --nic`},
		{"version 2", `unknown command "2" for "tapstack version"`},
		{"run tap0", `unknown command "tap0" for "tapstack run"`},
		{"run", `--nic: no NIC: give a file by -c, or flags`},
		{"run --nick tap0", `unknown flag: --nick`},
		{"run --mtu many", `invalid argument "many" for "--mtu"`},
		{"run -c", `flag needs an argument`},
		{"run -c x --nic tap0", `from a file or from flags, not both`},
		{"run -c /nonexistent/tapstack.toml", `/nonexistent/tapstack.toml: no such file`},
		{"run --nic tap0", `--address: NIC tap0 has no address`},
	} {
		t.Run(c.args, func(t *testing.T) {
			status, stdout, stderr := call(strings.Fields(c.args)...)
			checkRefusal(t, status, stdout, stderr, c.want)
		})
	}
}
