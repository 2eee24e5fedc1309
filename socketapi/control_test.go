package socketapi

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
)

// FuzzControl: whatever an application hands over as control messages is read or
// refused, and what was read is written so that it is read the same.
func FuzzControl(f *testing.F) {
	f.Add([]byte(nil), false)
	f.Add(make([]byte, cmsgHeader), true)
	for _, v6 := range []bool{false, true} {
		c := Control{Has: ControlTTL | ControlTOS, TTL: 3, TOS: 0x10, from4: !v6}
		oob := make([]byte, 128)
		n, _ := c.put(oob, v6)
		f.Add(oob[:n], v6)
		f.Add(oob[:n-1], v6)
	}
	f.Fuzz(func(t *testing.T, oob []byte, v6 bool) {
		before := bytes.Clone(oob)
		var c Control
		err := c.parse(oob, v6)
		if !bytes.Equal(oob, before) {
			t.Fatal("the caller's bytes have changed")
		}
		if err != nil {
			if !errors.Is(err, syscall.EINVAL) {
				t.Fatalf("%v", err)
			}
			return
		}
		const sent = ControlTTL | ControlTOS
		if c.Has&^(sent|ControlPacketInfo) != 0 {
			t.Fatalf("%+v cannot be sent", c)
		}
		want := Control{Has: c.Has & sent, TTL: c.TTL, TOS: c.TOS, from4: !v6}
		again := make([]byte, 128)
		n, fits := want.put(again, v6)
		var got Control
		// A TTL of 0 is a hop limit that IPv6 may have, and IPv4 may not.
		if err := got.parse(again[:n], v6); err != nil || !fits {
			t.Fatalf("%+v is written as % x: %v", want, again[:n], err)
		}
		if got.Has != want.Has || want.Has&ControlTTL != 0 && got.TTL != want.TTL || want.Has&ControlTOS != 0 && got.TOS != want.TOS {
			t.Fatalf("%+v became %+v", want, got)
		}
	})
}
