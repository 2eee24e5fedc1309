package tap

import "testing"

// A frame was sent by the MTU of its time. It is not lost because we know only
// a later one, or only an earlier.
func TestFramesAroundAnMTUChange(t *testing.T) {
	ns := needTAP(t)
	for name, cfg := range map[string]*Config{"plain": {Plain: true}, "offload": {}} {
		t.Run(name, func(t *testing.T) {
			d := openTAP(t, ns, cfg)
			far := packetSocket(t, ns, d.Name())
			defer far.Close()
			r := rig{dev: d, far: far}

			setMTU(t, ns, d.Name(), 9000) // and nobody watches
			r.send(t, testFrame(9014, 1))
			r.expectRead(t, testFrame(9014, 1))
			if d.MTU() != 9000 {
				t.Errorf("MTU %d after a frame that only 9000 allows", d.MTU())
			}

			w := startWatcher(d, 0)
			r.send(t, testFrame(9014, 2))
			r.send(t, testFrame(9014, 3))
			for _, mtu := range []int{1500, 1300} {
				setMTU(t, ns, d.Name(), mtu)
				w.untilMTU(t, mtu)
			}
			r.expectRead(t, testFrame(9014, 2))
			r.send(t, testFrame(1314, 4))
			d.(*device).mtus.until.Store(0) // a second later
			r.expectRead(t, testFrame(1314, 4))
			if s := d.Stats(); s.RxDrops != (Drops{TooLarge: 1}) {
				t.Errorf("dropped %+v, want the third", s.RxDrops)
			}
			d.Close()
			w.untilEnd()
		})
	}
}

// A flood of frames that are too large does not become one of questions.
func TestLookPause(t *testing.T) {
	ns := needTAP(t)
	d := openTAP(t, ns, nil).(*device)
	_ = d.inboundMTU()
	asked := d.mtus.askedAt.Load()
	d.mtus.askedAt.Store(asked + int64(mtuGrace)) // far from over
	setMTU(t, ns, d.Name(), 9000)
	if mtu := d.inboundMTU(); mtu != 1500 {
		t.Errorf("asked again at once: MTU %d", mtu)
	}
	d.mtus.askedAt.Store(0)
	if mtu := d.inboundMTU(); mtu != 9000 {
		t.Errorf("not asked: MTU %d", mtu)
	}
}
