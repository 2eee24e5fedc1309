package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

// helper is this test binary as a helper.
func helper(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"=1")
	return cmd
}

// needTAP ends a test on a system that has none.
func needTAP(t *testing.T) {
	t.Helper()
	err := netnstest.Need(t).Do(func() error {
		dev, err := tap.Open(nil)
		if err != nil {
			return err
		}
		return dev.Close()
	})
	if err != nil {
		netnstest.Skip(t, err)
	}
}

// surroundings are the interfaces and open files of the process.
func surroundings(t *testing.T) string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, l := range links {
		s = append(s, l.Attrs().Name)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(s, len(files), " files")
}

// The real thing, twice: nothing is left behind.
func TestRun(t *testing.T) {
	needTAP(t)
	var before string
	for range 2 {
		r := Run(t.Context(), Config{Helper: helper})
		after := surroundings(t)
		if before != "" && after != before {
			t.Errorf("before %s, after %s", before, after)
		}
		before = after
		if !r.OK || strings.Contains(r.Verdict, "\n") {
			t.Errorf("%+v", r)
		}
		for _, f := range r.Findings {
			if f.Status == Problem || f.Group == "" || f.Name == "" || f.Value == "" {
				t.Errorf("%+v", f)
			}
		}
	}
}

// By way of another process all is seen that is seen in this one.
func TestHelper(t *testing.T) {
	needTAP(t)
	p, err := ask(t.Context(), Config{Helper: helper})
	if err != nil {
		t.Fatal(err)
	}
	own := lookPrivately(t.Context(), Config{})
	if p.Refused != "" || p.UserNS == "" || fmt.Sprint(p.Tries) != fmt.Sprint(own.Tries) {
		t.Errorf("helper: %+v\nown: %+v", p, own)
	}
}

func TestHelperFails(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"echo no luck >&2; echo twice >&2; exit 3", "exit status 3 no luck"},
		{"echo '{'", "what it wrote: unexpected end of JSON input"},
	} {
		_, err := ask(t.Context(), Config{Helper: func(ctx context.Context) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", c.script)
		}})
		if err == nil || err.Error() != c.want {
			t.Errorf("%q, want %q", err, c.want)
		}
	}
}

// A TAP that somebody has made is listed as it is.
func TestLookAtTAPs(t *testing.T) {
	needTAP(t)
	owner := uint32(os.Geteuid()) // the one that every user namespace knows
	err := netnstest.Need(t).Do(func() error {
		err := netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: "theirs"},
			Mode:      netlink.TUNTAP_MODE_TAP, Owner: owner, Group: uint32(os.Getegid()),
		})
		if err != nil {
			return err
		}
		shared, err := openPersistent("shared", unix.IFF_MULTI_QUEUE)
		if err != nil {
			return err
		}
		defer shared.Close()
		taps, err := lookAtTAPs()
		if err != nil {
			return err
		}
		me, mine := os.Geteuid(), os.Getegid()
		want := []tapFacts{
			{name: "theirs", owner: me, group: mine, persistent: true, mtu: 1500, txQueueLen: taps[0].txQueueLen},
			{name: "shared", owner: nobody, group: nobody, persistent: true, multiQueue: true, queues: 1, inUse: true, mtu: 1500, txQueueLen: taps[0].txQueueLen},
		}
		if !slices.Equal(taps, want) {
			t.Errorf("%+v\nwant %+v", taps, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// openPersistent is "ip tuntap add NAME mode tap", and a queue of it.
func openPersistent(name string, flags uint16) (*os.File, error) {
	fd, err := unix.Open(tunFile, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
