package capture

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapstack/internal/netns/netnstest"
	"tapstack/tap"
)

// A conversation with the kernel over a TAP: it asks who has our address, and
// sends us a datagram, which we answer.
func TestTAP(t *testing.T) {
	ns := netnstest.Need(t)
	var dev tap.Device
	err := ns.Do(func() (err error) {
		dev, err = tap.Open(&tap.Config{Host: []netip.Prefix{netip.PrefixFrom(there.ip, 24)}})
		return err
	})
	if err != nil {
		netnstest.Skip(t, err)
	}
	d := Wrap(dev)
	t.Cleanup(func() { d.Close() })
	var file bytes.Buffer
	c := start(t, d, &file, nil)

	var conn net.Conn
	err = ns.Do(func() (err error) {
		conn, err = net.Dial("udp4", netip.AddrPortFrom(here.ip, 1000).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	answer(t, d)
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "an answer" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	s := stop(t, c)

	var seen strings.Builder
	frames := mustReadAll(t, file.Bytes())
	for _, f := range frames {
		if f.Interface != dev.Name() || f.Time.Before(s.Start) || f.Time.After(s.End) {
			t.Errorf("%+v in a capture of %+v", f, s)
		}
		switch {
		case isARP(f.Data):
			seen.WriteString(f.Direction.String() + " arp\n")
		case bytes.Contains(f.Data, []byte("question")), bytes.Contains(f.Data, []byte("an answer")):
			seen.WriteString(f.Direction.String() + " udp\n")
		}
	}
	if got, want := seen.String(), "inbound arp\noutbound arp\ninbound udp\noutbound udp\n"; got != want {
		t.Errorf("recorded\n%swant\n%s", got, want)
	}
	if st := d.Stats(); s.Received != st.RxFrames+st.TxFrames {
		t.Errorf("recorded %+v, the device counted %+v", s, st)
	}

	t.Run("tcpdump", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file.pcapng")
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out := needTool(t, "tcpdump", "-nn", "-r", path)
		for _, w := range []string{
			"Request who-has 192.0.2.1 tell 192.0.2.2", "Reply 192.0.2.1 is-at 02:00:00:00:00:01", "UDP, length 9",
		} {
			if !strings.Contains(out, w) {
				t.Errorf("tcpdump does not say %q:\n%s", w, out)
			}
		}
	})
}

func isARP(frame []byte) bool { return string(frame[12:14]) == "\x08\x06" }

// answer plays the host here until it has answered a datagram. The kernel has
// frames of its own to send, on IPv6.
func answer(t *testing.T, d tap.Device) {
	t.Helper()
	var kernel host // as it is in its request
	for {
		frame, _ := read(t, d)
		switch {
		case isARP(frame):
			kernel = host{mac: string(frame[22:28]), ip: there.ip}
			reply := []byte(kernel.mac + here.mac + "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02" + here.mac)
			reply = append(append(reply, here.ip.AsSlice()...), kernel.mac...)
			write(t, d, append(reply, there.ip.AsSlice()...), tap.Offload{})
		case bytes.Contains(frame, []byte("question")):
			f := here.udp(kernel, 1000, "an answer", false)
			copy(f[36:], frame[34:36]) // to the port it came from
			f[40], f[41] = 0, 0        // no checksum
			write(t, d, f, tap.Offload{})
			return
		}
	}
}
