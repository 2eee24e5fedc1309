package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/internal/netns"
)

func TestDrill(t *testing.T) {
	dir := t.TempDir()
	pass, fail := filepath.Join(dir, "pass.pkt"), filepath.Join(dir, "fail.pkt")
	for path, src := range map[string]string{pass: "0 < S 0:0(0) win 9\n+0 > R. 0:0(0) ack 1\n", fail: "0 < S 0:0(0) win 9\n+0 > R. 0:0(0) ack 2\n"} {
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if status, stdout, stderr := call("drill", pass); status != 0 || stderr != "" || !strings.Contains(stdout, "of 1") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, _ := call("drill", dir)
	for _, want := range []string{
		"fail.pkt:2:1: fail: another packet: ack 1, want 2\n" +
			"    want  0.000 > R. 0:0(0) ack 2\n" +
			"    got   0.000 > R. 0:0(0) ack 1 win 0\n" +
			"                                ^\n",
		"of 2",
	} {
		if status != 1 || !strings.Contains(stdout, want) {
			t.Errorf("status %d, no %q in\n%s", status, want, stdout)
		}
	}
	status, stdout, _ = call("drill", "--json", "--mode", "psh,early", "--ipv6", "-D", "X=1", "--pcap", dir, dir)
	var report struct{ Total, Pass, Fail int }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != 1 || report.Total != 2 || report.Pass != 1 || report.Fail != 1 {
		t.Errorf("status %d, %+v, %v\n%s", status, report, err, stdout)
	}
	status, stdout, _ = call("drill", "--sysctl", "net.inet.tcp.sack.enable=0", "--sysctl", "kern.hz=1", pass)
	if want := "unsupported: sysctl kern.hz"; status != 1 || !strings.Contains(stdout, want) {
		t.Errorf("status %d, no %q in\n%s", status, want, stdout)
	}
	if files, _ := filepath.Glob(dir + "/*.pcapng"); len(files) != 1 {
		t.Errorf("captures %v; want one", files)
	}
}

// In real time, over a pipe and over a TAP, scripts pass and fail as they do in
// virtual time; only a failure leaves a capture.
func TestDrillRealTime(t *testing.T) {
	flags := [][]string{{"--real-time"}}
	if ns, err := netns.New(); err == nil {
		ns.Close()
		flags = append(flags, []string{"--real-time", "--tap"})
	} else if os.Getenv("TAPSTACK_REQUIRE_TAP") == "1" {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pass, fail := filepath.Join(dir, "pass.pkt"), filepath.Join(dir, "fail.pkt")
	for path, src := range map[string]string{pass: "0 < S 0:0(0) win 9\n+0 > R. 0:0(0) ack 1\n", fail: "0 < S 0:0(0) win 9\n+0 > R. 0:0(0) ack 2\n"} {
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range flags {
		pcaps := filepath.Join(dir, fmt.Sprint("pcaps", i))
		args := append([]string{"drill", "--tolerance", "5s", "--limit", "20s", "--pcap", pcaps}, f...)
		if status, stdout, stderr := call(append(args, pass)...); status != 0 || stderr != "" {
			t.Errorf("%v: status %d, %q, %q", f, status, stdout, stderr)
		}
		status, stdout, _ := call(append(args, pass, fail)...)
		if status != 1 || !strings.Contains(stdout, "fail.pkt:2:1: fail: another packet: ack 1, want 2") {
			t.Errorf("%v: status %d\n%s", f, status, stdout)
		}
		if files, _ := filepath.Glob(pcaps + "/*"); len(files) != 1 || !strings.Contains(files[0], "fail") {
			t.Errorf("%v: captures %v; want one of the failure", f, files)
		}
	}
}

func TestDrillUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"drill", "requires at least 1 arg"},
		{"drill /nonexistent.pkt", "no such file"},
		{"drill --mode loose x", `mode "loose": want strict`},
		{"drill --profile solaris x", `profile "solaris": want linux, freebsd, tapstack`},
		{"drill --ipv4 --ipv6 x", "--ipv4 and --ipv6: give one"},
		{"drill --jobs -1 x", "--jobs -1"},
		{"drill --tap x", "--tap: a TAP has no virtual time"},
		{"drill --real-time --here x", "--here is for --tap"},
		{"drill --tolerance -1s x", "--tolerance -1s"},
		{"drill --limit -1s x", "--limit -1s"},
	} {
		t.Run(c.args, func(t *testing.T) {
			status, stdout, stderr := call(strings.Fields(c.args)...)
			checkRefusal(t, status, stdout, stderr, c.want)
		})
	}
}
