package engine_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"tapstack/socketapi/internal/engine"
)

// TestAccountsBalance moves bytes both ways at once in real time, with an
// Account at each end that others keep asking. In the end the books agree with
// what was written and with each other.
func TestAccountsBalance(t *testing.T) {
	const total = 16 << 20
	cfg := fixed(256 << 10)
	a, b := pair(t, large(), &cfg)
	clock := tcpip.NewStdClock()
	ends := [2]conn{a, b}
	var accts [2]*engine.Account
	for i, c := range ends {
		accts[i] = engine.NewAccount(c.Endpoint, c.queue, clock)
		engine.Watch(c.Endpoint, accts[i].Handled)
	}
	errs := make(chan tcpip.Error, 4)
	asked := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, acct := range accts {
				acct.DeviceWaited(1)
				if h := acct.Holdup(); sum(h) != h.Watched || h.Read > h.Received || h.Acked > h.Sent {
					t.Errorf("%+v", h)
					return
				}
			}
		}
	}()
	for i, c := range ends {
		out, in := newWaitable(c, waiter.WritableEvents), newWaitable(c, waiter.ReadableEvents)
		out.acct, in.acct = accts[i], accts[i]
		go func() { errs <- out.writeAll(make([]byte, total)) }()
		go func() {
			buf := make([]byte, 100_000)
			for n := 0; n < total; {
				m, err := in.readSome(buf)
				if m == 0 || err != nil {
					errs <- err
					return
				}
				n += m
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-asked
	for _, c := range ends {
		eventually(t, "all is acknowledged", func() bool { return engine.Read(c.Endpoint).Snd.Queued == 0 })
	}
	for i, acct := range accts {
		h := acct.Holdup()
		check(t, h, h.Watched)
		if h.Sent != total || h.Acked != total || h.Received != total || h.Read != total {
			t.Errorf("end %d: %+v", i, h)
		}
		acct.Stop()
		if again := acct.Holdup(); again != h && again.Watched < h.Watched {
			t.Errorf("after Stop: %+v", again)
		}
	}
}
