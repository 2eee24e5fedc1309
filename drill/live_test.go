package drill_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapstack/drill"
	"tapstack/tap"
)

// live are scripts of all kinds that take no long time: what is run in real
// time by every test run. The command runs all of them.
var live = []string{
	"accept-blocks-until-the-handshake-is-over", "arp-asks-before-the-first-packet", "close-unread-data-resets", "handshake-active",
	"handshake-passive", "msg-more-is-cork-for-one-send", "nagle-holds-small-segments", "ndp-is-answered",
	"ping-is-answered", "poll-wakes-when-data-comes", "rcvbuf-queued-is-siocinq", "read-blocks-until-data-comes",
	"sndbuf-full-blocks-until-acknowledged", "several-connections", "udp-datagrams-keep-their-bounds",
}

// patient is for machines that have something else to do too: what counts here
// is what happens, and in which order.
const patient = 500 * time.Millisecond

// attempts is how often something is tried that the machine's clock decides
// about: it has failed when it fails every time. A stack that is kept waiting for
// longer than patient may well do another thing, such as to send again.
const attempts = 5

// attempt calls f, which says what is wrong, until it says nothing.
func attempt(t *testing.T, f func() (wrong string)) {
	t.Helper()
	for n := range attempts {
		wrong := f()
		if wrong == "" {
			return
		}
		if n == attempts-1 {
			t.Errorf("in each of %d attempts; in the last:\n%s", attempts, wrong)
		} else {
			t.Logf("attempt %d: %s", n+1, wrong)
		}
	}
}

// runLive runs the scripts, all at a time, over wires that open makes, and what
// does not pass again.
func runLive(t *testing.T, names []string, open func(int) (near, far tap.Device, err error)) {
	t.Helper()
	t.Parallel()
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(ownScripts, name+".pkt"))
	}
	attempt(t, func() (wrong string) {
		s := &drill.Suite{
			Config:   drill.Config{RealTime: &drill.RealTime{Open: open}, Tolerance: patient},
			Parallel: len(paths), PcapDir: t.TempDir(), Paths: paths,
		}
		report, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		paths = nil
		for _, res := range report.Results {
			if res.Outcome != drill.Pass {
				paths = append(paths, res.Path)
				wrong += res.String() + "\n"
			}
		}
		if left, _ := os.ReadDir(s.PcapDir); wrong == "" && len(left) != 0 {
			t.Errorf("captures of scripts that passed: %v", left)
		}
		return wrong
	})
}

func TestRealTime(t *testing.T) {
	runLive(t, append([]string{"hosts-handshake-takes-a-round-trip"}, live...), nil)
}

// Over a device with offloads the script sees what a wire would: cut, and
// summed.
func TestRealTimeOffloads(t *testing.T) {
	runLive(t, append([]string{"rcvbuf-window-closes-as-it-fills", "sndbuf-unsent-beyond-the-peers-window"}, live...),
		func(mtu int) (near, far tap.Device, err error) {
			near, far = tap.Pipe(&tap.PipeConfig{MTU: mtu, Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true}})
			return near, far, nil
		})
}

// large has a Write that leaves as one frame of a device with offloads, each
// segment of which is expected.
const large = "--strict_segments\n" + passive + `
+0   setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0
+0   write(4, ..., 4000) = 4000
+0   > . 1:1461(1460) ack 1
+0   > . 1461:2921(1460) ack 1
+0   > P. 2921:4001(1080) ack 1
`

func TestRealTimeCuts(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{"ipv4", "ipv6"} {
		attempt(t, func() string { return cuts(t, ip) })
	}
}

func cuts(t *testing.T, ip string) (wrong string) {
	var near *frames
	res := drill.RunText("large", large, &drill.Config{IP: ip, Tolerance: patient, RealTime: &drill.RealTime{
		Open: func(mtu int) (tap.Device, tap.Device, error) {
			a, b := tap.Pipe(&tap.PipeConfig{MTU: mtu, Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}})
			near = &frames{Device: a}
			return near, b, nil
		},
	}})
	if res.Outcome != drill.Pass {
		return res.String()
	}
	if near.longest < 4000 {
		t.Errorf("%s: the longest frame has %d bytes; the test is about one of more than 4000", ip, near.longest)
	}
	return ""
}

// frames is a device that remembers the longest frame it was given.
type frames struct {
	tap.Device
	longest int
}

func (d *frames) Queues() []tap.Queue { return []tap.Queue{&frameQueue{d.Device.Queues()[0], d}} }

type frameQueue struct {
	tap.Queue
	dev *frames
}

func (q *frameQueue) Write(bufs [][]byte, off tap.Offload) error {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	q.dev.longest = max(q.dev.longest, n)
	return q.Queue.Write(bufs, off)
}

// TestRealTimeOutcomes is about scripts that do not pass in real time either.
func TestRealTimeOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, src, reason string
		outcome           drill.Outcome
	}{
		{"another", passive + "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1", "another packet: length 10, want 11", drill.Fail},
		{"nothing", passive + "+0 expect nothing for 0.2s\n+0 > . 1:1(0) ack 1", "no packet came", drill.Fail},
		{"something", passive + "+0 write(4, ..., 10) = 10\n+0 expect nothing for 1s", "a packet came", drill.Fail},
		{"early", passive + "+0 write(4, ..., 10) = 10\n+5 > P. 1:11(10) ack 1", "packet came too early", drill.Fail},
		{"returns early", passive + "+0...1 poll([{fd=4, events=POLLIN, revents=0}], 1, 100) = 0", "poll returned at another time", drill.Fail},
		{"never", passive + "+0...0.2 read(4, ..., 10) = 10", "read has not returned", drill.Fail},
		{"too long", passive + "+3600 close(4) = 0", "1h0m0s of real time: at most 5s", drill.Unsupported},
		{"too large", "0 < udp (1600)", "a frame that the device does not carry", drill.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			attempt(t, func() string {
				res := drill.RunText("x.pkt", c.src, &drill.Config{RealTime: &drill.RealTime{}, WallLimit: 5 * time.Second, Tolerance: 100 * time.Millisecond})
				if res.Outcome != c.outcome || !strings.Contains(res.Reason, c.reason) {
					return fmt.Sprintf("%v\nwant %v: %s", res, c.outcome, c.reason)
				}
				return ""
			})
		})
	}
}

func TestRealTimeWithoutDevice(t *testing.T) {
	res := drill.RunText("x.pkt", passive, &drill.Config{RealTime: &drill.RealTime{
		Open: func(int) (near, far tap.Device, err error) { return nil, nil, os.ErrPermission },
	}})
	if res.Outcome != drill.Fail || !strings.Contains(res.Reason, os.ErrPermission.Error()) {
		t.Error(res)
	}
}

// A script cannot go on for longer than it may, whatever it waits for.
func TestRealTimeLimit(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	res := drill.RunText("x.pkt", "param N in 1..1000\n0 < . 0:0(0) ack 1 win 1\n+0.05 > R 1:1(0)",
		&drill.Config{RealTime: &drill.RealTime{}, WallLimit: 300 * time.Millisecond, Steps: 1000})
	if res.Outcome == drill.Pass {
		t.Error(res)
	}
	if d := time.Since(begun); d > hung {
		t.Errorf("took %v", d)
	}
}
