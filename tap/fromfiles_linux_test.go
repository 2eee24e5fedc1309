package tap

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

// Several queues of one interface, opened by somebody else.
func TestFromFiles(t *testing.T) {
	ns := needTAP(t)
	open := func(t *testing.T, name string, flags uint16, n int) (files []*os.File) {
		do(t, ns, func() error {
			for range n {
				f, err := blockingTAP(name, flags|unix.IFF_MULTI_QUEUE)
				if err != nil {
					return err
				}
				files = append(files, f)
			}
			return nil
		})
		return files
	}
	for name, flags := range map[string]uint16{"plain": plainTAP, "offload": offloadTAP} {
		t.Run(name, func(t *testing.T) {
			var d Device
			files := open(t, "tap7", flags, 3)
			do(t, ns, func() (err error) { d, err = FromFiles(files, nil); return err })
			defer d.Close()
			setUp(t, ns, "tap7", true)
			if got := Describe(d); got.Queues != 3 || got.Driver != name {
				t.Errorf("%+v", got)
			}
			far := packetSocket(t, ns, "tap7")
			defer far.Close()
			for i, q := range d.Queues() {
				frame := testFrame(100, uint32(i))
				if err := q.Write([][]byte{frame}, Offload{}); err != nil {
					t.Fatal(err)
				}
				rig{dev: d, far: far}.expectFar(t, frame)
			}
		})
	}
	fds := openFiles(t)
	for name, files := range map[string][]*os.File{
		"give 1 to 256":      nil,
		"it is nil":          append(open(t, "tap15", plainTAP, 1), nil),
		"files of two":       append(open(t, "tap8", plainTAP, 1), open(t, "tap9", plainTAP, 1)...),
		"opened differently": append(open(t, "tap10", plainTAP, 1), open(t, "tap11", offloadTAP, 1)...),
		"not a TAP's file":   append(open(t, "tap13", plainTAP, 1), nullFile(t)),
		"without IFF_NO_PI":  open(t, "tap14", unix.IFF_TAP, 2),
		"use of closed file": append(open(t, "tap12", plainTAP, 1), closedFile(t)),
	} {
		do(t, ns, func() error {
			d, err := FromFiles(files, nil)
			if d != nil || err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, %v; want %q", d, err, name)
			}
			return nil
		})
	}
	if n := openFiles(t); n != fds {
		t.Errorf("%d open files, were %d", n, fds)
	}
}

func closedFile(t *testing.T) *os.File {
	f := nullFile(t)
	f.Close()
	return f
}

func nullFile(t *testing.T) *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// macvtap makes one on top of the interface lower, and opens its file.
func macvtap(t *testing.T, ns *netns.NS, lower, name string) *os.File {
	t.Helper()
	// The file is named by the interface's number, and all namespaces have
	// one /dev: so a number that no other has.
	index := 1_000_000 + os.Getpid()
	if err := ns.Do(func() error {
		link, err := netlink.LinkByName(lower)
		if err != nil {
			return err
		}
		mv := &netlink.Macvtap{Macvlan: netlink.Macvlan{
			LinkAttrs: netlink.LinkAttrs{Name: name, Index: index, ParentIndex: link.Attrs().Index, TxQLen: -1},
			Mode:      netlink.MACVLAN_MODE_BRIDGE,
		}}
		return netlink.LinkAdd(mv)
	}); err != nil {
		t.Skip("no macvtap here:", err)
	}
	f, err := os.OpenFile(fmt.Sprint("/dev/tap", index), os.O_RDWR, 0)
	if err != nil {
		t.Skip("a macvtap without a file in /dev, as in a container:", err)
	}
	return f
}

// A macvtap: what is written to it leaves by the interface below, and what
// comes in there, to its address or to all, is read.
func TestMacvtap(t *testing.T) {
	ns := needTAP(t)
	testContract(t, func(t *testing.T) rig {
		lower := openTAP(t, ns, &Config{Plain: true})
		f := macvtap(t, ns, lower.Name(), "mv7")
		var d Device
		do(t, ns, func() (err error) { d, err = FromFile(f, nil); return err })
		setUp(t, ns, "mv7", true)
		if got := Describe(d); got.Driver != "offload" || d.Name() != "mv7" || d.MTU() != 1500 {
			t.Fatalf("%s, MTU %d, %+v", d.Name(), d.MTU(), got)
		}
		return rig{dev: d, far: &queueFile{dev: lower}}
	})
}

// A macvtap that is deleted says so to whoever reads it, if somebody watches:
// its file alone would stay silent.
func TestMacvtapDeleted(t *testing.T) {
	ns := needTAP(t)
	lower := openTAP(t, ns, &Config{Plain: true})
	f := macvtap(t, ns, lower.Name(), "mv7")
	var d Device
	do(t, ns, func() (err error) { d, err = FromFile(f, nil); return err })
	defer d.Close()
	w := startWatcher(d, 0)
	w.untilMTU(t, 1500)
	deleteLink(t, ns, "mv7")
	w.untilEnd()
	if _, _, err := d.Queues()[0].Read([][]byte{make([]byte, 2000)}); !errors.Is(err, ErrGone) {
		t.Errorf("Read: %v, want ErrGone", err)
	}
	if err := d.Queues()[0].Write([][]byte{testFrame(60, 1)}, Offload{}); !errors.Is(err, ErrGone) {
		t.Errorf("Write: %v, want ErrGone", err)
	}
}
