package capture

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/tap"
)

// needTool returns the output of a program on a file. Without the program it
// skips the test, or fails it when TAPSTACK_REQUIRE_TOOLS=1.
func needTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
			t.Fatalf("TAPSTACK_REQUIRE_TOOLS=1, but: %v", err)
		}
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "Couldn't change to") && os.Getenv("TAPSTACK_REQUIRE_TOOLS") != "1" {
		// An ordinary user's test runs as root of a user namespace, and there
		// tcpdump may not become anybody else.
		t.Skipf("%s will not run as root of a user namespace: %s", name, out)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// What others make of our files.
func TestTools(t *testing.T) {
	d, far := pipe(t, &tap.PipeConfig{
		Names:    [2]string{"near", "far"},
		Offloads: tap.Offloads{Csum: true},
	})
	path := filepath.Join(t.TempDir(), "file.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var clock ticker
	c := start(t, d, file, &Config{Now: clock.now})
	write(t, d, here.udp(there, 1000, "question", true), tap.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6})
	read(t, far)
	write(t, far, there.udp(here, 1000, "an answer", false), tap.Offload{CsumValid: true})
	read(t, d)
	stop(t, c)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	for _, tool := range []struct {
		name string
		args []string
		want []string // in this order
	}{
		{"tcpdump", []string{"-nn", "-vv", "-tttt", "--time-stamp-precision=nano", "-r", path}, []string{
			"reading from file", "EN10MB",
			"22:13:20.123458791", "192.0.2.1.1000 > 192.0.2.2.1000", "[bad udp cksum", "length 8",
			"22:13:20.123459792", "192.0.2.2.1000 > 192.0.2.1.1000", "[udp sum ok]", "length 9",
		}},
		{"tshark", []string{"-n", "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch",
			"-e", "frame.packet_flags_direction", "-e", "ip.src", "-e", "frame.comment"}, []string{
			"near\t", "00.123458791\t", "2\t192.0.2.1\toffload: csum=34+6\n",
			"near\t", "00.123459792\t", "1\t192.0.2.2\t\n",
		}},
		{"capinfos", []string{"-tEFc", "-u", "-I", path}, []string{
			"pcapng", "Ethernet", "Number of packets:   2", "Name = near", "nanoseconds (9)", "Number of stat entries = 1", "Number of packets = 2",
		}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			out := needTool(t, tool.name, tool.args...)
			rest := out
			for _, w := range tool.want {
				_, after, ok := strings.Cut(rest, w)
				if !ok {
					t.Fatalf("no %q, or not there, in:\n%s", w, out)
				}
				rest = after
			}
		})
	}
}
