package socketapi_test

import (
	"encoding/json"
	"io"
	"testing"

	"tapstack/socketapi"
	"tapstack/socketapi/holdup"
	"tapstack/tap"
)

// TestInfo: what is known is told, and what is not is absent.
func TestInfo(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	if _, err := w.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAcked(within(t)); err != nil {
		t.Fatal(err)
	}
	info, err := w.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.State != socketapi.Established || info.Conn == nil {
		t.Fatalf("%+v", info)
	}
	if c := info.Conn; c.SndMSS == 0 || c.SndCwnd == 0 || c.RTT == nil || c.SndWnd == 0 || c.Unacked != 0 || !c.SACK {
		t.Errorf("%+v", c)
	}
	if info.Conn.BusyTime != nil || info.Conn.SndSsthresh != nil {
		t.Errorf("told what is not known: %+v", info.Conn)
	}
	raw, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]int64
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["tcpi_state"] != 1 || fields["tcpi_snd_mss"] != int64(info.Conn.SndMSS) {
		t.Errorf("%s", raw)
	}
	for _, unknown := range []string{"tcpi_busy_time", "tcpi_snd_ssthresh", "tcpi_delivery_rate"} {
		if _, ok := fields[unknown]; ok {
			t.Errorf("%s is there: %s", unknown, raw)
		}
		if _, ok := info.Field(unknown); ok {
			t.Errorf("%s is known", unknown)
		}
	}
	if unread, _ := r.Info(); unread.Conn.RcvWnd != r.ReceiveBuffer().Window {
		t.Errorf("tcpi_rcv_wnd %d, the buffer says %d", unread.Conn.RcvWnd, r.ReceiveBuffer().Window)
	}
}

// TestHoldup: a peer that does not read is found to be the slow one, and so is
// our own reader at its end.
func TestHoldup(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b6.Addr())
	if _, ok := w.Holdup(); ok {
		t.Error("accounted for without being asked")
	}
	for _, c := range []*socketapi.TCPConn{w, r} {
		if err := c.SetAccounting(true); err != nil {
			t.Fatal(err)
		}
	}
	writeUntilFull(t, w)
	eventually(t, "the peer is known to be slow", func() bool {
		h, ok := w.Holdup()
		return ok && h.Slow() == holdup.SlowPeer && h.PeerZeroWindow.Count > 0
	})
	eventually(t, "our reader is known to be slow", func() bool {
		h, _ := r.Holdup()
		return h.Slow() == holdup.SlowReader && h.UnreadWait > 0
	})
	h, _ := w.Holdup()
	if sum := h.AppLimited + h.SndbufLimited + h.CwndLimited + h.RwndLimited + h.DeviceLimited + h.OtherLimited; sum != h.Watched {
		t.Errorf("the parts add up to %v of %v", sum, h.Watched)
	}
	info, _ := w.Info()
	if info.Conn.RwndLimited == nil || *info.Conn.RwndLimited == 0 {
		t.Errorf("tcpi_rwnd_limited: %v", info.Conn.RwndLimited)
	}
	if err := w.SetAccounting(false); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Holdup(); ok {
		t.Error("still accounted for")
	}
}

// TestHoldupDevice: time that frames wait in the device is the device's.
func TestHoldupDevice(t *testing.T) {
	da, db := tap.Pipe(&tap.PipeConfig{QueueLen: 1})
	a, b := host(t, da, nil, a4), host(t, db, nil, b4)
	w, r := connect(t, a, b, b4.Addr())
	if err := w.SetAccounting(true); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	eventually(t, "the device has held it up", func() bool {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		h, _ := w.Holdup()
		return h.DeviceLimited > h.Watched/100
	})
}
