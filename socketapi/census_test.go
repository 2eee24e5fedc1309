package socketapi_test

import (
	"errors"
	"io"
	"testing"

	"tapstack/socketapi"
)

// TestCensus: what passes a connection between two looks is told by both ends
// alike, without the FIN, counts in between lose nothing, and a socket that is
// new has no rates.
func TestCensus(t *testing.T) {
	a, b := pair(t, fixed())
	sends, receives := socketapi.NewCensus(a), socketapi.NewCensus(b)
	look := func(c *socketapi.Census) socketapi.Traffic {
		t.Helper()
		list, _ := c.Look()
		for _, g := range list {
			if g.State != socketapi.Listening {
				return g.Traffic
			}
		}
		t.Fatal("no connection")
		return socketapi.Traffic{}
	}
	w, r := connect(t, a, b, b4.Addr())
	move := func(n int) {
		t.Helper()
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := w.WaitAcked(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	move(1000)
	for _, c := range []*socketapi.Census{sends, receives} {
		if got := look(c); got.Known || got.In+got.Out != 0 {
			t.Errorf("at the first look: %+v", got)
		}
	}
	move(20_000)
	sends.Count()
	move(3000)
	sends.Count()
	if got := look(sends); !got.Known || got.Out != 23_000 || got.In != 0 || got.Elapsed <= 0 {
		t.Errorf("the sender: %+v", got)
	}
	got := look(receives)
	if !got.Known || got.In != 23_000 || got.Out != 0 {
		t.Errorf("the receiver: %+v", got)
	}
	if in, out := got.Rates(); in != 23_000/got.Elapsed.Seconds() || out != 0 {
		t.Errorf("rates %v, %v of %+v", in, out, got)
	}
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	eventually(t, "FIN-WAIT-2", func() bool { return w.State() == socketapi.FinWait2 })
	if got := look(sends); got.Out != 0 {
		t.Errorf("a FIN was counted: %+v", got)
	}
	if got := look(receives); got.In != 0 {
		t.Errorf("a FIN was counted: %+v", got)
	}
	if list := socketapi.TCPSockets(a); len(list) != 1 || list[0].State != socketapi.FinWait2 || list[0].Info.Conn == nil {
		t.Errorf("%+v", list)
	}
}

// TestCensusUDP counts datagrams.
func TestCensusUDP(t *testing.T) {
	a, b := pair(t, fixed())
	c := socketapi.NewCensus(b)
	in, err := socketapi.ListenUDP(b, "udp", b4.Addr().String()+":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := (&socketapi.Dialer{Stack: a}).DialContext(within(t), "udp", b4.Addr().String()+":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.Look()
	for range 3 {
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := in.ReadFrom(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, list := c.Look(); len(list) != 1 || list[0].Traffic.In != 3 || list[0].Traffic.Out != 0 || !list[0].Traffic.Known {
		t.Errorf("%+v", list)
	}
	if _, list := c.Look(); len(list) != 1 || list[0].Traffic.In != 0 {
		t.Errorf("counted again: %+v", list)
	}
}
