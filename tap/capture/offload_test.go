package capture

import (
	"bytes"
	"testing"

	"tapstack/tap"
)

func TestOffloads(t *testing.T) {
	all := tap.Offloads{Csum: true, TSO4: true, TSO6: true, USO: true, ECN: true}
	d, far := pipe(t, &tap.PipeConfig{Offloads: all})
	var file bytes.Buffer
	c := start(t, d, &file, nil)
	offs := []tap.Offload{
		{},
		{NeedsCsum: true, CsumStart: 34, CsumOffset: 16},
		{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSO: tap.GSOTCPv4, GSOSize: 1400, HdrLen: 54, ECN: true},
		{NeedsCsum: true, CsumStart: 54, CsumOffset: 16, GSO: tap.GSOTCPv6, GSOSize: 1300},
		{NeedsCsum: true, CsumStart: 34, CsumOffset: 6, GSO: tap.GSOUDP, GSOSize: 100, HdrLen: 42},
	}
	for i, off := range offs {
		n := 1500
		if off.GSO != tap.GSONone {
			n = tap.MaxFrame
		}
		write(t, d, numbered(n, uint32(i)), off)
		read(t, far)
	}
	stop(t, c)
	frames := mustReadAll(t, file.Bytes())
	for i, off := range offs {
		if frames[i].Offload != off || numberOf(frames[i].Data) != uint32(i) {
			t.Errorf("%+v, want %+v", frames[i].Offload, off)
		}
	}

	// And into another device, as they were.
	r, err := Open(&file)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Replay(t.Context(), d, r, nil); err != nil || s.Frames != uint64(len(offs)) {
		t.Errorf("%+v, %v", s, err)
	}
	for i, off := range offs {
		if frame, got := read(t, far); got != off || !bytes.Equal(frame, frames[i].Data) {
			t.Errorf("replayed %+v, want %+v", got, off)
		}
	}
}

func TestParseOffload(t *testing.T) {
	for _, bad := range []string{"", "hello", "offload: csum=1", "offload: csum=1+70000", "offload: gso=tcp5/1",
		"offload: gso=none/1", "offload: hdr=-1", "offload: new=1", "offload: csum=34+16 what"} {
		if o, ok := parseOffload(bad); ok {
			t.Errorf("%q is %+v", bad, o)
		}
	}
}
