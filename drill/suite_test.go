//go:build unix

package drill_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/drill"
)

const endless = "for N in 1..1000000000000 { +0.001 %{ x = N }% }"

func write(t *testing.T, path, src string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A suite whose context ends does not wait for the scripts that run, in virtual
// time and in real time, and they are not in its report.
func TestSuiteIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	quick := write(t, filepath.Join(dir, "quick.pkt"), passive)
	for name, c := range map[string]struct {
		src  string
		real *drill.RealTime
	}{
		"virtual": {endless, nil},
		"real":    {passive + "+600 close(4) = 0", &drill.RealTime{}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			long := write(t, filepath.Join(dir, name+".pkt"), c.src)
			pcaps := filepath.Join(dir, name)
			s := &drill.Suite{
				Config: drill.Config{RealTime: c.real, WallLimit: time.Hour, Steps: 1 << 62, Tolerance: time.Second}, PcapDir: pcaps,
				Paths: []string{long, quick, quick}, Parallel: 2,
				// Both quick ones go through one worker, so the other has the long one.
				Done: func(done, _ int, _ *drill.Result) {
					if done == 2 {
						cancel()
					}
				},
			}
			report, err := s.Run(ctx)
			if err == nil || report == nil || len(report.Results) != 2 || report.Count(drill.Pass) != 2 {
				t.Errorf("%v, %+v; want the two that passed", err, report)
			}
			if left, _ := filepath.Glob(filepath.Join(pcaps, "*")); len(left) > 0 {
				t.Errorf("captures of what did not fail: %v", left)
			}
		})
	}
}

// Only regular files are scripts, wherever links lead; a link that leads
// nowhere is told of.
func TestSuiteFindsFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "x.pkt"), passive)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.pkt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"a/up": "..", "self": "self", "zero.pkt": "/dev/zero", "y.pkt": "a/x.pkt", "gone.pkt": "nowhere", "folder.pkt": "a"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	report, err := (&drill.Suite{Paths: []string{dir}}).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range report.Results {
		got = append(got, strings.TrimPrefix(r.Path, dir+"/")+" "+r.Outcome.String())
	}
	if want := "a/x.pkt pass, gone.pkt fail, y.pkt pass"; strings.Join(got, ", ") != want {
		t.Errorf("%v; want %s", got, want)
	}
}

// A file without end is refused once it is larger than any script.
func TestRunFileWithoutEnd(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("reads more than a script may have")
	}
	res := drill.RunFile("/dev/zero", nil)
	if res.Outcome != drill.Fail || !strings.Contains(res.Reason, "large") {
		t.Error(res)
	}
}

// Every failure has a capture of its own, also where paths make the same name;
// a folder that cannot be written to is told of before anything runs.
func TestSuiteCaptures(t *testing.T) {
	dir := t.TempDir()
	a := write(t, filepath.Join(dir, "a", "b_c.pkt"), passive+"+0 close(9) = 0")
	b := write(t, filepath.Join(dir, "a_b", "c.pkt"), passive+"+0 close(8) = 0")
	pcaps := filepath.Join(dir, "pcaps")
	for range 2 { // over what is there already, too
		if _, err := (&drill.Suite{Paths: []string{a, b, b}, PcapDir: pcaps}).Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if files, _ := filepath.Glob(filepath.Join(pcaps, "*")); len(files) != 3 {
			t.Errorf("%v; want three files", files)
		}
	}
	for _, bad := range []string{"/proc/self/fdinfo", filepath.Join(a, "sub")} {
		if _, err := (&drill.Suite{Paths: []string{a}, PcapDir: bad}).Run(context.Background()); err == nil {
			t.Errorf("captures into %s: no error", bad)
		}
	}
}

// What a report says is in the script's language, and points at what counts.
func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		src, want string
		without   string
	}{
		"nothing":        {"// nothing\n", "nothing happens here", ""},
		"a loop's limit": {"for N in 1..1000000000 { }", "more than 1000 timers and events", "with"},
		"poll":           {passive + "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1", "revents is POLLOUT, want POLLIN", ""},
		"epoll": {
			passive + "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLOUT, fd=4}) = 0\n+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1",
			"events is EPOLLOUT, want EPOLLIN", "",
		},
		"arp": {"0 < icmp echo_request id 1 seq 1 (8)\n+0 > arp reply 192.168.0.1 is-at *", "> arp who-has 192.168.0.2 tell 192.168.0.1", "frame"},
		"a timestamp that does not count": {
			"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 connect(3, ..., ...) = -1 EINPROGRESS\n" +
				"+0 > S 0:0(0) <mss 9,sackOK,TS val 1 ecr 2,nop,wscale 8>",
			"\n" + strings.Repeat(" ", 42) + strings.Repeat("^", 14), "^ ",
		},
		"sysctl": {passive + "+0 `sysctl net.ipv4.tcp_timestamps=0`", "sysctl net.ipv4.tcp_timestamps", ""},
		"conn":   {"--ip_version=ipv6\nconn b local :8080 remote 192.0.2.1:5001\n0 < b: S 0:0(0) win 9", "address 192.0.2.1 is not of the IP version", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := fmt.Sprint(drill.RunText("x.pkt", c.src, &drill.Config{Steps: 1000}))
			if !strings.Contains(got, c.want) || c.without != "" && strings.Contains(got, c.without) {
				t.Errorf("%s\nwant %q, and no %q", got, c.want, c.without)
			}
		})
	}
	if res := drill.RunText("x.pkt", "`sysctl net.ipv4.tcp_timestamps=1 net.ipv4.tcp_window_scaling=1`\n"+passive, nil); res.Outcome != drill.Pass {
		t.Error(res)
	}
}
