package tap

import "testing"

// The kernel keeps as many frames for us as TxQueueLen says, drops the rest,
// and tells.
func TestKernelDrops(t *testing.T) {
	ns := needTAP(t)
	for name, cfg := range map[string]*Config{"plain": {Plain: true, TxQueueLen: 16}, "offload": {TxQueueLen: 16}} {
		t.Run(name, func(t *testing.T) {
			d := openTAP(t, ns, cfg)
			far := packetSocket(t, ns, d.Name())
			defer far.Close()
			r := rig{dev: d, far: far}
			for i := range uint32(20) {
				_, _ = far.Write(testFrame(60, i)) // a full queue may be an error here
			}
			for i := range uint32(16) {
				r.expectRead(t, testFrame(60, i))
			}
			if i, err := InterfaceOf(d); err != nil || i.TxDropped != 4 || i.TxQueueLen != 16 {
				t.Errorf("%+v, %v", i, err)
			}
		})
	}
}
