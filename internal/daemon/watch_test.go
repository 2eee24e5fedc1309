package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// TestAPIWatchSockets: rates, totals, filter, order and limit.
func TestAPIWatchSockets(t *testing.T) {
	c := newControlled(t, plain)
	d := socketapi.Dialer{Stack: c.peer}
	dial := func(address string) *socketapi.TCPConn {
		t.Helper()
		conn, err := d.DialContext(within(t), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn.(*socketapi.TCPConn)
	}
	idle, busy := dial("192.0.2.2:7"), dial("[2001:db8::2]:9")
	ping(t, idle)
	stop := errors.New("enough")
	// watch takes a look before which busy has sent something: the second, or, if
	// the daemon was quicker with that than we were, one of the next.
	watch := func(q *api.SocketWatchQuery, good func(api.SocketWatch) bool) (last api.SocketWatch) {
		t.Helper()
		n := 0
		end := time.Now().Add(20 * time.Second)
		q.Interval = 50 * time.Millisecond
		err := c.api.WatchSockets(within(t), q, func(w *api.SocketWatch) error {
			if n++; n == 1 {
				for _, s := range w.Sockets {
					if s.Rates != nil && (s.Rates.In != 0 || s.Rates.Out != 0) {
						t.Errorf("rates at the first look: %+v", s)
					}
				}
			} else if last = *w; good(last) || time.Now().After(end) {
				return stop
			}
			if _, err := busy.Write(make([]byte, 100_000)); err != nil {
				return err
			}
			return busy.WaitAcked(within(t))
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		return last
	}
	text := func(w api.SocketWatch) string {
		var out []string
		for _, s := range w.Sockets {
			out = append(out, s.Socket.Protocol+" "+s.Socket.State+" "+s.Socket.Local)
		}
		return strings.Join(out, ", ")
	}

	want := "tcp ESTABLISHED [2001:db8::2]:9, tcp ESTABLISHED 192.0.2.2:7, udp  *:7, tcp LISTEN *:7, tcp LISTEN *:9"
	w := watch(&api.SocketWatchQuery{}, func(w api.SocketWatch) bool {
		return text(w) == want && w.Sockets[0].Rates != nil && w.Sockets[0].Rates.In >= 100_000 && w.Links[0].Rates.RxBytes >= 100_000
	})
	if got := text(w); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if w.Matched != 5 || w.States["ESTABLISHED"] != 2 || w.States["LISTEN"] != 2 || w.States["UDP"] != 1 {
		t.Errorf("%+v", w)
	}
	first := w.Sockets[0]
	if first.Rates == nil || first.Rates.In < 100_000 || first.Rates.Out != 0 || first.Socket.Send == nil || first.Socket.Receive == nil || first.Socket.Info != nil {
		t.Errorf("%+v, %+v", first, first.Rates)
	}
	if l := w.Links; len(l) != 1 || l[0].Rates == nil || l[0].Rates.RxBytes < 100_000 || l[0].Rx.Frames == 0 {
		t.Errorf("%+v", l)
	}
	for _, one := range []struct {
		q    api.SocketWatchQuery
		n    int
		want string
	}{
		{api.SocketWatchQuery{Limit: 1}, 5, "tcp ESTABLISHED [2001:db8::2]:9"},
		{api.SocketWatchQuery{Limit: 1, Reverse: true}, 5, "tcp LISTEN *:7"},
		{api.SocketWatchQuery{UDP: true}, 1, "udp  *:7"},
		{api.SocketWatchQuery{Filter: "state established src 192.0.2.0/24"}, 1, "tcp ESTABLISHED 192.0.2.2:7"},
		{api.SocketWatchQuery{Sort: "local", TCP: true, Limit: 3}, 4, "tcp LISTEN *:7, tcp LISTEN *:9, tcp ESTABLISHED 192.0.2.2:7"},
		{api.SocketWatchQuery{Sort: "remote", Filter: "state established"}, 2, "tcp ESTABLISHED 192.0.2.2:7, tcp ESTABLISHED [2001:db8::2]:9"},
	} {
		w := watch(&one.q, func(w api.SocketWatch) bool { return text(w) == one.want })
		if text(w) != one.want || w.Matched != one.n {
			t.Errorf("%+v: %d, %s\nwant %d, %s", one.q, w.Matched, text(w), one.n, one.want)
		}
	}
	whichever := func(api.SocketWatch) bool { return true }
	w = watch(&api.SocketWatchQuery{Info: true, Filter: "dst " + busy.LocalAddr().String()}, whichever)
	if len(w.Sockets) != 1 || len(w.Sockets[0].Socket.Info) < 20 {
		t.Errorf("%+v", w)
	}
	for _, q := range []api.SocketWatchQuery{{Sort: "colour"}, {Filter: "sport = x"}, {Limit: api.MaxWatched + 1}, {Interval: time.Millisecond}} {
		var e *api.Error
		if err := c.api.WatchSockets(within(t), &q, nil); !errors.As(err, &e) || e.Status != 400 {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, sort := range api.Sorts {
		if w := watch(&api.SocketWatchQuery{Sort: sort, Filter: "sport = :7"}, whichever); w.Matched != 3 || len(w.Sockets) != 3 {
			t.Errorf("%s: %+v", sort, w)
		}
	}
}
