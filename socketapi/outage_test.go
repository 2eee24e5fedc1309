package socketapi_test

import (
	"io"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// TestOutage: a link that loses everything for longer than two timeouts, in the
// middle of a transfer with much under way, delays it by that and by the timeout
// that was running when it came back. Afterwards there is no timeout more, and
// the congestion window is what the first timeout left, not what the last did.
func TestOutage(t *testing.T) {
	t.Parallel()
	large := &tap.PipeConfig{Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}}
	for name, c := range map[string]struct {
		pipe *tap.PipeConfig
		cfg  stack.TCPConfig
	}{
		"cubic":              {nil, stack.TCPConfig{}},
		"cubic, large":       {large, stack.TCPConfig{}},
		"reno":               {nil, stack.TCPConfig{CongestionControl: "reno"}},
		"reno, large":        {large, stack.TCPConfig{CongestionControl: "reno"}},
		"chosen later":       {nil, stack.TCPConfig{}},
		"chosen meanwhile":   {nil, stack.TCPConfig{}},
		"accepted":           {nil, stack.TCPConfig{}},
		"without RACK":       {nil, stack.TCPConfig{NoRACK: true}},
		"without SACK, cwnd": {nil, stack.TCPConfig{NoSACK: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, la, lb := linked(t, c.pipe, &stack.Config{TCP: c.cfg})
			w, r := connect(t, a, b, b4.Addr())
			if name == "accepted" {
				w, r = r, w
			}
			if name == "chosen later" {
				write(t, w, 1)
				read(t, r, 1)
				if err := w.SetCongestionControl("reno"); err != nil {
					t.Fatal(err)
				}
			}
			// So that the window is large, and much is under way.
			exchangeBytes(t, w, r, 4<<20)
			la.disturb(1, 1, 0)
			lb.disturb(1, 1, 0)
			const size = 3 << 20
			out := waitAside(func() error { _, err := w.Write(make([]byte, size)); return err })
			eventually(t, "two timeouts", func() bool { return conn(t, w).RTO >= 4*200*time.Millisecond })
			threshold := conn(t, w).SndSsthresh
			if threshold == nil || *threshold < 5 {
				t.Errorf("ssthresh %v after two timeouts", threshold)
			}
			if name == "chosen meanwhile" { // nothing is written after it
				if err := w.SetCongestionControl("reno"); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := w.Info()
			la.disturb(1, 0, 0)
			lb.disturb(1, 0, 0)
			_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, size); err != nil {
				t.Fatalf("%v; %+v", err, conn(t, w))
			}
			if err := endedWith(t, "Write", out); err != nil {
				t.Fatal(err)
			}
			if err := w.WaitAcked(within(t)); err != nil {
				t.Fatal(err)
			}
			if got := socketapi.Timeouts(w); got > 4 {
				t.Errorf("%d timeouts, want the one that was running, after two or three", got)
			}
			after, _ := w.Info()
			t.Logf("%d sent again, ssthresh %d", after.TotalRetrans-before.TotalRetrans, *threshold)
			if rack := socketapi.RACK(w); rack == (c.cfg.NoRACK || c.cfg.NoSACK) {
				t.Errorf("RACK %v afterwards", rack)
			}
		})
	}
}

// conn is what is known of c now.
func conn(t *testing.T, c *socketapi.TCPConn) *socketapi.ConnInfo {
	t.Helper()
	info, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Conn
}
