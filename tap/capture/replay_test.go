package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"tapstack/tap"
)

// virtual is a clock that moves when someone waits.
type virtual struct {
	now    time.Time
	waited []time.Duration
}

func (v *virtual) Now() time.Time { return v.now }

func (v *virtual) Wait(_ context.Context, d time.Duration) error {
	v.now = v.now.Add(d)
	v.waited = append(v.waited, d)
	return nil
}

// recorded is a file of frames at these times after the first, the odd ones
// inbound.
func recorded(t *testing.T, at ...time.Duration) *Reader {
	t.Helper()
	var file bytes.Buffer
	f, err := newFile(&file, "tap0", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range at {
		rec := &record{dir: []Direction{Outbound, Inbound}[i%2], n: 60, length: 60, nanos: tickerStart.Add(d).UnixNano()}
		if err := f.write(rec, numbered(60, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	f.flush()
	r, err := Open(&file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expectNumbers(t *testing.T, far tap.Device, want ...uint32) {
	t.Helper()
	for _, n := range want {
		if frame, _ := read(t, far); numberOf(frame) != n {
			t.Errorf("frame %d, want %d", numberOf(frame), n)
		}
	}
}

func TestReplayTiming(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		speed float64
		at    []time.Duration
		want  []time.Duration
	}{
		{0, []time.Duration{0, s, s, 3 * s}, []time.Duration{s, 2 * s}},
		{1, []time.Duration{0, 2 * s, s, 3 * s}, []time.Duration{2 * s, s}}, // one out of order
		{2, []time.Duration{0, s, 3 * s}, []time.Duration{s / 2, s}},
		{0.5, []time.Duration{0, s}, []time.Duration{2 * s}},
		{math.Inf(1), []time.Duration{0, s, 3600 * s}, nil},
		{1, []time.Duration{0, -s}, nil},
		{math.SmallestNonzeroFloat64, []time.Duration{0, -s, 1}, []time.Duration{math.MaxInt64/2 + 1}},
	} {
		d, far := pipe(t, nil)
		clock := &virtual{now: time.Unix(5, 0)}
		stats, err := Replay(t.Context(), d, recorded(t, c.at...), &ReplayConfig{Speed: c.speed, Now: clock.Now, Wait: clock.Wait})
		if err != nil || stats != (ReplayStats{Frames: uint64(len(c.at)), Bytes: uint64(60 * len(c.at))}) {
			t.Errorf("speed %v: %+v, %v", c.speed, stats, err)
		}
		for i := range uint32(len(c.at)) {
			expectNumbers(t, far, i)
		}
		if len(clock.waited) != len(c.want) {
			t.Errorf("speed %v: waited %v, want %v", c.speed, clock.waited, c.want)
			continue
		}
		for i, w := range c.want {
			if clock.waited[i] != w {
				t.Errorf("speed %v: waited %v, want %v", c.speed, clock.waited, c.want)
			}
		}
	}
}

func TestReplayChoice(t *testing.T) {
	d, far := pipe(t, nil)
	flatOut := math.Inf(1)
	s, err := Replay(t.Context(), d, recorded(t, 0, 0, 0, 0, 0), &ReplayConfig{Speed: flatOut, Direction: Inbound})
	if err != nil || s != (ReplayStats{Frames: 2, Bytes: 120, Skipped: 3}) {
		t.Errorf("%+v, %v", s, err)
	}
	expectNumbers(t, far, 1, 3)

	r := recorded(t, 0, 0, 0, 0, 0)
	for _, want := range [][]uint32{{0, 1}, {2, 3}, {4}} { // the rest is still there
		s, err = Replay(t.Context(), d, r, &ReplayConfig{Speed: flatOut, MaxFrames: 2})
		if err != nil || s.Frames != uint64(len(want)) {
			t.Errorf("%+v, %v", s, err)
		}
		expectNumbers(t, far, want...)
	}

	// What the file has only in part, and what the device does not take.
	m := makers[0]
	file := append(m.pcap(), m.u32(nil, 0, 0, 20, 60)...)
	file = append(file, make([]byte, 20)...)
	file = append(file, m.u32(nil, 0, 0, 13, 13)...)
	file = append(file, make([]byte, 13)...)
	if r, err = Open(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	s, err = Replay(t.Context(), d, r, nil)
	if err != nil || s != (ReplayStats{Truncated: 1, Refused: 1}) || d.Stats().TxDrops.TooShort != 1 {
		t.Errorf("%+v, %v, %+v", s, err, d.Stats())
	}
}

func TestReplayEnds(t *testing.T) {
	d, far := pipe(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		read(t, far)
		cancel()
	}()
	s, err := Replay(ctx, d, recorded(t, 0, time.Hour), nil)
	if !errors.Is(err, context.Canceled) || s.Frames != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = Replay(ctx, d, recorded(t, 0), nil); !errors.Is(err, context.Canceled) || s.Frames != 0 {
		t.Errorf("%+v, %v", s, err)
	}

	file := makers[0].pcap(testFrames()...)
	r, err := Open(bytes.NewReader(file[:len(file)-1]))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Replay(t.Context(), d, r, nil); !errors.Is(err, io.ErrUnexpectedEOF) || s.Truncated != 4 {
		t.Errorf("%+v, %v", s, err)
	}

	d.Close()
	if _, err = Replay(t.Context(), d, recorded(t, 0), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	for _, bad := range []ReplayConfig{{Speed: -1}, {Speed: math.NaN()}, {Direction: 3}, {Now: time.Now}} {
		if _, err := Replay(t.Context(), d, recorded(t, 0), &bad); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
