package netem_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"tapstack/netem"
)

// clock is a virtual clock without anything else.
type clock struct {
	now    time.Time
	timers []timer
}

type timer struct {
	at time.Time
	f  func()
}

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Schedule(d time.Duration, f func()) {
	c.timers = append(c.timers, timer{c.now.Add(d), f})
}

func (c *clock) run() {
	for len(c.timers) > 0 {
		slices.SortStableFunc(c.timers, func(a, b timer) int { return a.at.Compare(b.at) })
		t := c.timers[0]
		c.timers = c.timers[1:]
		c.now = t.at
		t.f()
	}
}

func TestPath(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   netem.PathConfig
		want  []string // number of the frame, and when it arrived
		stats netem.Stats
	}{
		{
			name: "nothing set", want: []string{"1@1µs", "2@1µs", "3@1µs", "4@1µs"},
			stats: netem.Stats{Sent: 4, Delivered: 4},
		},
		{
			name: "delay", cfg: netem.PathConfig{Delay: time.Second}, want: []string{"1@1s", "2@1s", "3@1s", "4@1s"},
			stats: netem.Stats{Sent: 4, Delivered: 4},
		},
		{
			name: "loss", cfg: netem.PathConfig{Lose: func(n int) bool { return n == 1 || n == 3 }}, want: []string{"2@1µs", "4@1µs"},
			stats: netem.Stats{Sent: 4, Delivered: 2, Lost: 2},
		},
		{
			// 100 bytes at 8,000 bit/s are 100 ms.
			name: "rate", cfg: netem.PathConfig{Rate: 8000, Delay: time.Second},
			want: []string{"1@1.1s", "2@1.2s", "3@1.3s", "4@1.4s"}, stats: netem.Stats{Sent: 4, Delivered: 4},
		},
		{
			name: "queue", cfg: netem.PathConfig{Rate: 8000, Queue: 2, Delay: time.Millisecond},
			want: []string{"1@101ms", "2@201ms"}, stats: netem.Stats{Sent: 4, Delivered: 2, Dropped: 2},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &clock{}
			var got []string
			p, err := netem.NewPath(tc.cfg, c, func(f []byte) { got = append(got, fmt.Sprintf("%d@%v", f[0], c.now.Sub(time.Time{}))) })
			if err != nil {
				t.Fatal(err)
			}
			for n := range 4 {
				f := make([]byte, 100)
				f[0] = byte(n + 1)
				p.Send(f)
			}
			c.run()
			if !reflect.DeepEqual(got, tc.want) || p.Stats() != tc.stats {
				t.Errorf("%v, %+v; want %v, %+v", got, p.Stats(), tc.want, tc.stats)
			}
		})
	}
}

// A queue that was full has room when a frame has left it.
func TestQueueDrains(t *testing.T) {
	c := &clock{}
	n := 0
	p, err := netem.NewPath(netem.PathConfig{Rate: 8000, Queue: 1}, c, func([]byte) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	p.Send(make([]byte, 100))
	p.Send(make([]byte, 100))
	c.run()
	p.Send(make([]byte, 100))
	c.run()
	if n != 2 || p.Stats().Dropped != 1 {
		t.Errorf("%d delivered, %+v; want 2 and one dropped", n, p.Stats())
	}
}

func TestPathRefuses(t *testing.T) {
	for _, cfg := range []netem.PathConfig{{Delay: -1}, {Rate: -1}, {Queue: -1}} {
		if _, err := netem.NewPath(cfg, &clock{}, nil); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}
