package socketapi_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
	"tapstack/tap"
)

// TestEchoOfMuch: a server that reads only once it has written what it read
// before, and a kernel that fills the window to its last byte. gVisor alone ends
// with both windows closed for ever: see engine.OpenRemainder.
func TestEchoOfMuch(t *testing.T) {
	ns := netnstest.Need(t)
	for _, plain := range []bool{true, false} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			cfg := tap.Config{Plain: plain, Host: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/24")}}
			var dev tap.Device
			if err := ns.Do(func() (err error) { dev, err = tap.Open(&cfg); return err }); err != nil {
				netnstest.Skip(t, err)
			}
			s := host(t, dev, nil, netip.MustParsePrefix("10.2.0.2/24"))
			l, err := socketapi.Listen(s, "tcp", "10.2.0.2:7")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var timeouts atomic.Uint64
			defer func() { t.Logf("%d timeouts", timeouts.Load()) }()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						_, _ = io.Copy(c, c)
						timeouts.Add(socketapi.Timeouts(c.(*socketapi.TCPConn)))
					}()
				}
			}()
			const size = 4 << 20
			for i := range 8 {
				c, err := ns.DialContext(within(t), "tcp", "10.2.0.2:7")
				if err != nil {
					t.Fatal(err)
				}
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				go func() {
					_, _ = c.Write(make([]byte, size))
					_ = c.(*net.TCPConn).CloseWrite()
				}()
				n, err := io.Copy(io.Discard, c)
				_ = c.Close()
				if n != size || err != nil {
					t.Fatalf("connection %d: %d of %d bytes came back: %v", i, n, size, err)
				}
			}
		})
	}
}
