package rawlink_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"

	"tapstack/internal/netns/netnstest"
	"tapstack/internal/rawlink"
	"tapstack/tap"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

func open(t *testing.T, mtu int) (near, far tap.Device) {
	t.Helper()
	near, far, err := rawlink.In(netnstest.Need(t))(mtu)
	if err != nil {
		netnstest.Skip(t, err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// frame is one of the type for experiments, from somebody to nobody.
func frame(n int, fill byte) []byte {
	f := append([]byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5}, bytes.Repeat([]byte{fill}, n)...)
	return f
}

func read(t *testing.T, d tap.Device) ([]byte, tap.Offload) {
	t.Helper()
	head, rest := make([]byte, 20), make([]byte, tap.MaxFrame)
	n, off, err := d.Queues()[0].Read([][]byte{head, rest})
	if err != nil {
		t.Fatal(err)
	}
	return append(head, rest[:n-len(head)]...), off
}

// What is written to one end is the first thing that comes out of the other:
// nobody else sends.
func TestBothWays(t *testing.T) {
	near, far := open(t, 1400)
	if near.MTU() != 1400 || far.MTU() != 1400 || near.Name() != far.Name() {
		t.Errorf("MTU %d and %d, names %s and %s", near.MTU(), far.MTU(), near.Name(), far.Name())
	}
	for i, ends := range [][2]tap.Device{{near, far}, {far, near}} {
		want := frame(1400, byte(i+1))
		if err := ends[0].Queues()[0].Write([][]byte{want[:9], want[9:]}, tap.Offload{}); err != nil {
			t.Fatal(err)
		}
		if got, off := read(t, ends[1]); !bytes.Equal(got, want) || off.NeedsCsum || off.GSO != tap.GSONone {
			t.Errorf("%d bytes, %+v; want the %d that were sent", len(got), off, len(want))
		}
	}
	if s := far.Stats(); s.RxFrames != 1 || s.TxFrames != 1 || s.RxBytes != 1414 || s.TxBytes != 1414 {
		t.Errorf("%+v", s)
	}
	if err := far.Queues()[0].Write([][]byte{frame(1401, 0)}, tap.Offload{}); !errors.Is(err, tap.ErrFrame) {
		t.Errorf("a frame beyond the MTU: %v; want ErrFrame", err)
	}
}

// A frame's offloads come through.
func TestOffloads(t *testing.T) {
	near, far := open(t, 1500)
	if o := near.Offloads(); !o.TSO4 {
		netnstest.Skip(t, errors.New("the kernel gives this TAP only "+o.String()))
	}
	// IPv4 and TCP headers and 3000 bytes, in pieces of 1000.
	f := frame(20+20+3000, 0)
	f[12], f[13] = 0x08, 0x00
	copy(f[14:], []byte{0x45, 0, 0x0b, 0xe0, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	f[14+20+12] = 0x50
	want := tap.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: tap.GSOTCPv4, GSOSize: 1000, HdrLen: 54}
	if err := near.Queues()[0].Write([][]byte{f}, want); err != nil {
		t.Fatal(err)
	}
	got, off := read(t, far)
	off.HdrLen = want.HdrLen // a hint, which the kernel does as it likes with
	if !bytes.Equal(got, f) || off != want {
		t.Errorf("%d bytes, %+v; want %d, %+v", len(got), off, len(f), want)
	}
}

func TestCloseEndsRead(t *testing.T) {
	_, far := open(t, 1500)
	done := make(chan error)
	go func() {
		_, _, err := far.Queues()[0].Read([][]byte{make([]byte, 2000)})
		done <- err
	}()
	far.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := far.Queues()[0].Write([][]byte{frame(10, 0)}, tap.Offload{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if err := far.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
