package main

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkTop is what an open top costs: bytes are sent through the daemon
// beside a thousand idle connections, by turns with top on a terminal and
// without; the medians are compared.
func BenchmarkTop(b *testing.B) {
	if _, err := exec.LookPath("tmux"); err != nil {
		b.Skip(err)
	}
	ns := needTAP(b)
	p := start(b, ns, "-c", config(b, controlledConfig))
	p.many(b, "192.168.77.2:9", 1000)
	busy := p.dial(b, "192.168.77.2:9")
	buf := make([]byte, 1<<20)
	send := func(d time.Duration) float64 {
		n := 0
		begin := time.Now()
		for time.Since(begin) < d {
			k, err := busy.Write(buf)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
		return float64(n) / time.Since(begin).Seconds()
	}
	send(time.Second)
	var with, without []float64
	for b.Loop() {
		without = append(without, send(time.Second))
		s := newTerminal(b, "120", "40", program+" top --socket "+p.socket)
		s.shows(`^ESTAB.* +192\.168\.77\.2:9 .* [0-9.]+[MG] `)
		with = append(with, send(time.Second))
		s.press("q")
	}
	slices.Sort(with)
	slices.Sort(without)
	on, off := with[len(with)/2], without[len(without)/2]
	b.ReportMetric(off/1e6, "MB/s-without")
	b.ReportMetric(on/1e6, "MB/s-with")
	b.ReportMetric(100*(1-on/off), "%-cost")
}
