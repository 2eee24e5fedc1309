package socketapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"tapstack/internal/netns"
	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/tap"
)

// dataBytes is what every case moves in each direction, by default a few times
// what the largest buffers hold: "make data" says 1 GB.
var dataBytes = flag.Int64("data", 6<<20, "bytes that TestData moves in each direction of each case")

// TestData moves bytes between a stack and the kernel over every kind of TAP,
// both ways, and compares digests: whatever is cut, joined, summed or steered
// on the way, the stream is the same.
func TestData(t *testing.T) {
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	ns := netnstest.Need(t)
	type variant struct {
		name string
		cfg  tap.Config
	}
	variants := []variant{
		{"plain", tap.Config{Plain: true}},
		{"plain, MTU 576", tap.Config{Plain: true, MTU: 576}},
		{"plain, MTU 9000", tap.Config{Plain: true, MTU: 9000}},
		{"plain, MTU 65521", tap.Config{Plain: true, MTU: 65521}},
		{"without csum", tap.Config{Without: tap.Offloads{Csum: true}}},
		{"without tso4", tap.Config{Without: tap.Offloads{TSO4: true}}},
		{"without tso6", tap.Config{Without: tap.Offloads{TSO6: true}}},
		{"without uso", tap.Config{Without: tap.Offloads{USO: true}}},
		{"without ecn", tap.Config{Without: tap.Offloads{ECN: true}}},
		{"never spinning", tap.Config{Spin: -1}},
	}
	for _, queues := range []int{1, 2, 4} {
		for _, mtu := range []int{576, 1280, 1500, 9000, 65521} {
			variants = append(variants, variant{fmt.Sprintf("%d queues, MTU %d", queues, mtu), tap.Config{Queues: queues, MTU: mtu}})
		}
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { moveBothWays(t, ns, v.cfg) })
	}
}

func moveBothWays(t *testing.T, ns *netns.NS, cfg tap.Config) {
	ours := []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24")}
	cfg.Host = []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}
	if cfg.MTU == 0 || cfg.MTU >= tap.MinMTU6 {
		ours = append(ours, netip.MustParsePrefix("fd01::2/64"))
		cfg.Host = append(cfg.Host, netip.MustParsePrefix("fd01::1/64"))
	}
	var dev tap.Device
	if err := ns.Do(func() (err error) { dev, err = tap.Open(&cfg); return err }); err != nil {
		netnstest.Skip(t, err)
	}
	s := host(t, dev, nil, ours...)
	defer s.Close()
	for i, p := range ours {
		name := "IPv4"
		if p.Addr().Is6() {
			name = "IPv6"
		}
		t.Run(name+" in", func(t *testing.T) {
			l, err := socketapi.Listen(s, "tcp", netip.AddrPortFrom(p.Addr(), 0).String())
			if err != nil {
				t.Fatal(err)
			}
			move(t, l, func(addr string) (net.Conn, error) { return ns.DialContext(within(t), "tcp", addr) })
		})
		t.Run(name+" out", func(t *testing.T) {
			l, err := ns.Listen("tcp", netip.AddrPortFrom(cfg.Host[i].Addr(), 0).String())
			if err != nil {
				t.Fatal(err)
			}
			move(t, l, func(addr string) (net.Conn, error) {
				return (&socketapi.Dialer{Stack: s}).DialContext(within(t), "tcp", addr)
			})
		})
	}
	if st := dev.Stats(); st.RxDrops.Total()+st.TxDrops.Total() != 0 {
		t.Errorf("the device dropped frames: rx %+v, tx %+v", st.RxDrops, st.TxDrops)
	}
	// One bulk flow fits the kernel's queue.
	if i, err := tap.InterfaceOf(dev); err != nil || i.TxDropped+i.RxDropped != 0 {
		t.Errorf("the kernel dropped %d frames for us and %d of ours, %v", i.TxDropped, i.RxDropped, err)
	}
	if d := s.Stats().Drops; d.TCPChecksum+d.IPMalformed+d.L4Malformed+d.TCPMalformed != 0 {
		t.Errorf("the stack dropped packets: %+v", d)
	}
}

// move sends dataBytes of noise over one connection to l and compares.
func move(t *testing.T, l net.Listener, dial func(addr string) (net.Conn, error)) {
	t.Helper()
	defer l.Close()
	out, err := dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// A hang is a failure, not a wait for ever: 1 MB/s is far below any path.
	deadline := time.Now().Add(30*time.Second + time.Duration(*dataBytes)*time.Microsecond)
	_ = out.SetDeadline(deadline)
	_ = in.SetDeadline(deadline)

	sent := make(chan string, 1)
	go func() {
		h := sha256.New()
		noise := io.LimitReader(rand.NewChaCha8([32]byte{1}), *dataBytes)
		_, err := io.CopyBuffer(struct{ io.Writer }{out}, io.TeeReader(noise, h), make([]byte, 100_000))
		err = errors.Join(err, out.(interface{ CloseWrite() error }).CloseWrite())
		if err != nil {
			t.Error("sending:", err)
		}
		sent <- hex.EncodeToString(h.Sum(nil))
	}()
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{in}, make([]byte, 100_000))
	if err != nil {
		t.Errorf("receiving: %v after %d bytes", err, n)
		_ = out.Close()
	}
	if want := <-sent; hex.EncodeToString(h.Sum(nil)) != want || n != *dataBytes {
		t.Errorf("%d bytes of %d, another digest", n, *dataBytes)
	}
}
