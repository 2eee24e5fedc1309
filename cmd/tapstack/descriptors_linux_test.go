package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"tapstack/internal/stacktest"
)

// TestFewDescriptors: more idle clients of a proxy than the daemon has
// descriptors do not lock out who controls it, are counted, and fill no log;
// when they have gone, the proxy serves again.
func TestFewDescriptors(t *testing.T) {
	ns := needTAP(t)
	p := prepare(t, ns, "--nic", "tap0", "--address", "192.168.77.2/24", "--host", "192.168.77.1/24",
		"--echo", ":7", "--socks5", "127.0.0.1:1080", "--log-level", "debug")
	sh := needTool(t, "sh", "dash")
	p.Args = append([]string{sh, "-c", `ulimit -n 64; exec "$0" "$@"`}, p.Args...)
	p.Path = sh
	p.begin(t)
	var clients []net.Conn
	for range 300 {
		c, err := ns.DialContext(within(t), "tcp", "127.0.0.1:1080")
		if errors.Is(err, syscall.ECONNRESET) {
			continue // so soon that connect(2) tells it
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	p.wants(t, 0, "ss -l", "LISTEN")
	services := p.wants(t, 0, "services", "refused", "(exhausted)")
	if strings.Contains(services, "refused 300 ") {
		t.Errorf("nobody was let in:\n%s", services)
	}
	for _, c := range clients {
		c.Close()
	}
	stacktest.Eventually(t, "room for a client", func() bool {
		c, err := ns.DialContext(within(t), "tcp", "127.0.0.1:1080")
		if err != nil {
			return false
		}
		defer c.Close()
		if _, err := c.Write([]byte{5, 1, 0}); err != nil {
			return false
		}
		_, err = io.ReadFull(c, make([]byte, 2))
		return err == nil
	})
	_ = p.Process.Signal(os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &p.stderr)
	}
	if n := strings.Count(p.stderr.String(), "RLIMIT_NOFILE"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &p.stderr)
	}
}
