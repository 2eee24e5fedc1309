package socketapi_test

import (
	"testing"
	"time"

	"tapstack/socketapi"
)

// soon reports whether a socket becomes ready for all of ev in a moment: long
// for what happens at once, and too short for a SYN to be sent again.
func soon(so sock, ev socketapi.Events) bool { return inTime(so, ev, 800*time.Millisecond) }

// within3s is soon with time for a SYN to be sent again.
func within3s(so sock, ev socketapi.Events) bool { return inTime(so, ev, 3*time.Second) }

func inTime(so sock, ev socketapi.Events, most time.Duration) bool {
	tick, end := time.NewTicker(time.Millisecond), time.After(most)
	defer tick.Stop()
	for so.Ready()&ev != ev {
		select {
		case <-tick.C:
		case <-end:
			return false
		}
	}
	return true
}

// overflow lets clients connect, one after the other, to a listener with a
// backlog until one does not get in, then takes connections until none waits.
func (p *sockProbe) overflow(backlog int) {
	p.Helper()
	l, name := p.bound('b', "tcp4", b4)
	p.must(l.Listen(backlog))
	var last sock
	in := 0
	for ; in < 10; in++ {
		last = p.on('a', "tcp4")
		p.see("connect %v", last.Connect(name))
		if !soon(last, socketapi.EventOut) {
			break
		}
	}
	p.see("backlog %d: %d get in; the next is %v, listener %v", backlog, in, last.Ready(), l.Ready())
	p.see("again %v, send %s", last.Connect(name), rw(last.SendTo([]byte("x"), 0, none)))
	s, _, err := l.Accept()
	p.must(err)
	p.Cleanup(func() { s.Close() })
	p.ready(last, socketapi.EventOut) // with the SYN's first retransmission
	e, err := last.Option(socketapi.SO_ERROR)
	p.see("after an accept: %v, SO_ERROR %d %v", last.Ready(), e, err)
	taken := 1
	eventually(p, "all are taken", func() bool {
		s, _, err := l.Accept()
		if err == nil {
			taken++
			p.Cleanup(func() { s.Close() })
		}
		return taken > in
	})
	_, _, err = l.Accept()
	p.see("taken %d, then %v", taken, err)
}

var backlogRows = []sockRow{
	{name: "backlog of 1 is full", run: func(p *sockProbe) { p.overflow(1) }},
	{name: "backlog of 3 is full", run: func(p *sockProbe) { p.overflow(3) }},
	{name: "a full backlog refuses nobody who is refused otherwise", run: func(p *sockProbe) {
		l, name := p.bound('b', "tcp4", b4)
		p.must(l.Listen(1))
		for range 2 {
			c := p.on('a', "tcp4")
			_ = c.Connect(name)
			p.ready(c, socketapi.EventOut)
		}
		// A client is connected before its last ACK has filled the backlog, so
		// that one more may get in between.
		late, in := sock(nil), true
		for n := 0; in && n < 10; n++ {
			late = p.on('a', "tcp4")
			_ = late.Connect(name)
			in = soon(late, socketapi.EventOut)
		}
		p.see("late: %v", in)
		p.must(l.Close())
		p.ready(late, socketapi.EventErr) // its SYN finds nobody
		e, err := late.Option(socketapi.SO_ERROR)
		p.see("SO_ERROR %d %v", e, err)
	}},
}

// sizes are what the buffers' sizes are set to.
var sizes = []int{0, 1, -1, 1<<31 - 1, -1 << 31, 10_000, 100_000, 200_000}

// sizeRow sets one size of one kind of socket to all of them: the numbers are
// each kernel's own, what they have to do with each other is not.
func sizeRow(o socketapi.Option, network string) sockRow {
	return sockRow{name: "size " + o.String() + " of " + network, run: func(p *sockProbe) {
		so := p.on('a', network)
		unit := 2 // Linux reads back double
		if _, ours := so.(ourSock); ours {
			unit = 1
		}
		read := map[int]int{}
		for _, n := range sizes {
			err := so.SetOption(o, n)
			v, rerr := so.Option(o)
			p.see("%d: %v, %v, above 0: %v", n, err, rerr, v > 0)
			read[n] = v
			p.must(so.SetOption(o, v/unit))
			again, _ := so.Option(o)
			p.see("%d: what it reads can be set: %v", n, again == v)
		}
		p.see("0 and 1 are the least there is: %v", read[0] == read[1] && read[0] <= read[10_000])
		p.see("negative is the most there is: %v %v", read[-1] == read[1<<31-1], read[-1<<31] >= read[100_000])
		p.see("within the limits it is as set: %v %v %v", read[10_000] == 10_000*unit, read[100_000] == 100_000*unit, read[200_000] == 200_000*unit)
	}}
}

var sizeRows = []sockRow{
	sizeRow(socketapi.SO_SNDBUF, "tcp4"), sizeRow(socketapi.SO_RCVBUF, "tcp4"),
	sizeRow(socketapi.SO_SNDBUF, "udp4"), sizeRow(socketapi.SO_RCVBUF, "udp4"),
	{name: "sizes that accepted sockets have of their listener", run: func(p *sockProbe) {
		for _, n := range []int{0, 20_000, 150_000, -1} {
			for _, when := range []string{"before listen", "after it"} {
				var listener [2]int
				_, s := p.pair(func(l sock) {
					if when == "after it" {
						p.must(l.Listen(5))
					}
					for i, o := range []socketapi.Option{socketapi.SO_SNDBUF, socketapi.SO_RCVBUF} {
						p.must(l.SetOption(o, n))
						listener[i], _ = l.Option(o)
					}
				})
				snd, _ := s.Option(socketapi.SO_SNDBUF)
				rcv, _ := s.Option(socketapi.SO_RCVBUF)
				p.see("%d %s: %v %v", n, when, snd == listener[0], rcv == listener[1])
			}
		}
	}},
	{name: "sizes set on the listener do not change who is accepted", run: func(p *sockProbe) {
		l, name := p.listener(func(l sock) { p.must(l.SetOption(socketapi.SO_SNDBUF, 20_000)) })
		c := p.on('a', "tcp4")
		_ = c.Connect(name)
		p.ready(l, socketapi.EventIn)
		s, _, err := l.Accept()
		p.must(err)
		defer s.Close()
		before, _ := s.Option(socketapi.SO_SNDBUF)
		p.must(l.SetOption(socketapi.SO_SNDBUF, 30_000))
		after, _ := s.Option(socketapi.SO_SNDBUF)
		p.see("%v", before == after)
	}},
}

// TestLimitsAreSaid: the least and the most that a size is clamped to are those
// that the stack was configured with.
func TestLimitsAreSaid(t *testing.T) {
	a, _ := pair(t, nil)
	for _, network := range []string{"tcp", "udp"} {
		so := newOurs(t, a, network)
		for _, o := range []socketapi.Option{socketapi.SO_SNDBUF, socketapi.SO_RCVBUF} {
			var got [2]int
			for i, n := range []int{0, -1} {
				if err := so.SetOption(o, n); err != nil {
					t.Fatal(err)
				}
				got[i], _ = so.Option(o)
			}
			t.Logf("%s %v: %d to %d", network, o, got[0], got[1])
			if got[0] < 1 || got[0] > 8<<10 || got[1] < 1<<20 {
				t.Errorf("%s %v: from %d to %d", network, o, got[0], got[1])
			}
		}
	}
}
