package socketapi_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/tap"
	"tapstack/tap/capture"
)

// TestCaptureOfData captures a transfer both ways, and has tcpdump verify every
// checksum in it: only what is left to an offload may be wrong.
func TestCaptureOfData(t *testing.T) {
	ns := netnstest.Need(t)
	// Or the kernel's own frames come at any time, also when we count.
	quietIPv6(t, ns)
	for name, cfg := range map[string]tap.Config{
		"offload":      {},
		"without csum": {Without: tap.Offloads{Csum: true}},
		"plain":        {Plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Host = []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}
			var dev tap.Device
			if err := ns.Do(func() (err error) { dev, err = tap.Open(&cfg); return err }); err != nil {
				netnstest.Skip(t, err)
			}
			tapped := capture.Wrap(dev)
			// From the first frame to the last, so that they can be counted.
			file := filepath.Join(t.TempDir(), "data.pcapng")
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := tapped.Start(f, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := host(t, tapped, nil, netip.MustParsePrefix("10.1.0.2/24"))
			defer s.Close()
			l, err := socketapi.Listen(s, "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			far, near := dialFrom(t, ns, l)
			exchange(t, far, near)
			_ = far.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, near)
			_ = s.Close()
			stats, err := rec.Stop()
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			partial, frames := partialChecksums(t, file)
			d := dev.Stats()
			if passed := d.RxFrames + d.TxFrames + d.TxDrops.Total(); stats.Received != passed || uint64(frames) != passed-stats.Dropped {
				t.Errorf("%d frames in the file, %+v, %d passed", frames, stats, passed)
			}
			if name != "offload" && partial != 0 {
				t.Errorf("%d frames with a partial checksum and no offload", partial)
			}
			tcpdump, err := exec.LookPath("tcpdump")
			if err != nil {
				if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
					t.Fatal(err)
				}
				t.Skip("no tcpdump: apt-get install tcpdump")
			}
			out, err := exec.CommandContext(t.Context(), tcpdump, "-vvnr", file, "tcp").CombinedOutput()
			if strings.Contains(string(out), "Couldn't change to") && os.Getenv("TAPSTACK_REQUIRE_TOOLS") != "1" {
				// An ordinary user's test runs as root of a user namespace, and
				// there tcpdump may not become anybody else.
				t.Skipf("tcpdump will not run as root of a user namespace: %s", out)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if n := strings.Count(string(out), "incorrect"); n != partial {
				t.Errorf("tcpdump finds %d wrong checksums, %d were left to an offload", n, partial)
			}
		})
	}
}

// quietIPv6 keeps the kernel from speaking IPv6 on interfaces to come.
func quietIPv6(t *testing.T, ns *netns.NS) {
	t.Helper()
	err := ns.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// partialChecksums counts a file's frames, and those whose checksum is partial.
func partialChecksums(t *testing.T, file string) (partial, frames int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return partial, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames++
		if f.Offload.NeedsCsum {
			partial++
		}
	}
}
