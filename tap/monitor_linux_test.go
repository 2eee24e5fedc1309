package tap

import (
	"testing"

	"tapstack/internal/netns"
)

// A watcher sees an interface's states on a goroutine of its own.
type watcher struct {
	states chan Interface // closed when the watch has ended
	hold   chan bool      // a token for each state
}

func startWatcher(d Device, held int) *watcher {
	w := &watcher{states: make(chan Interface), hold: make(chan bool, 1000)}
	for range cap(w.hold) - held {
		w.hold <- true
	}
	go func() {
		defer close(w.states)
		Watch(d, func(i Interface) {
			w.states <- i
			<-w.hold
		})
	}()
	return w
}

func (w *watcher) untilMTU(t *testing.T, mtu int) {
	t.Helper()
	for i := range w.states {
		if i.MTU == mtu {
			return
		}
	}
	t.Fatalf("the watch has ended before MTU %d", mtu)
}

func (w *watcher) untilEnd() {
	for range w.states {
	}
}

// Who watches first gets the present state; and everyone gets every change,
// also while one of them is busy.
func TestWatchers(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil)
	setMTU(t, ns, d.Name(), 1400) // nobody sees it
	a, b, busy := startWatcher(d, 0), startWatcher(d, 0), startWatcher(d, 1000)
	for _, w := range []*watcher{a, b, busy} {
		w.untilMTU(t, 1400)
	}
	if d.MTU() != 1400 {
		t.Errorf("the device has MTU %d", d.MTU())
	}
	for mtu := 1300; mtu < 1310; mtu++ {
		setMTU(t, ns, d.Name(), mtu)
		a.untilMTU(t, mtu)
		b.untilMTU(t, mtu)
	}
	close(busy.hold)
	busy.untilMTU(t, 1309)
	d.Close()
	for _, w := range []*watcher{a, b, busy} {
		w.untilEnd()
	}
}

// More news than the socket holds, and a socket that fails: what was missed is
// found out.
func TestWatchRecovers(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *netns.NS, *device){
		"overrun": func(t *testing.T, ns *netns.NS, d *device) {
			if err := d.monitor.view.events.SetReceiveBufferSize(1, false); err != nil {
				t.Fatal(err)
			}
			for mtu := 1000; mtu < 1200; mtu++ {
				setMTU(t, ns, d.Name(), mtu)
			}
		},
		"error": func(_ *testing.T, _ *netns.NS, d *device) { d.monitor.view.events.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ns := needTAP(t)
			d := openTAP(t, ns, nil)
			w := startWatcher(d, 1000)
			w.untilMTU(t, 1500)
			spoil(t, ns, d.(*device))
			setMTU(t, ns, d.Name(), 1250)
			close(w.hold)
			w.untilMTU(t, 1250)
			setMTU(t, ns, d.Name(), 1260)
			w.untilMTU(t, 1260)
			d.Close()
			w.untilEnd()
		})
	}
}
