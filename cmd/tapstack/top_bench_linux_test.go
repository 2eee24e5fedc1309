package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cpuOf is what a process has used: proc(5), stat, in ticks of 10 ms.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkTop is what an open top costs: bytes are sent through the daemon
// beside a thousand idle connections, by turns with top on a terminal and
// without; the medians are compared. Then nothing is sent, and what the daemon
// uses to answer top is measured, in percent of one core.
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
		s.shows(`^ESTAB`)
		with = append(with, send(time.Second))
		s.press("q")
	}
	idle := func() float64 {
		before, begin := cpuOf(b, p.Process.Pid), time.Now()
		<-time.After(4 * time.Second) // what is measured
		return 100 * (cpuOf(b, p.Process.Pid) - before).Seconds() / time.Since(begin).Seconds()
	}
	b.ReportMetric(idle(), "daemon-cpu-%-without")
	s := newTerminal(b, "120", "40", program+" top --socket "+p.socket)
	s.shows(`^ESTAB`)
	b.ReportMetric(idle(), "daemon-cpu-%-with")
	slices.Sort(with)
	slices.Sort(without)
	on, off := with[len(with)/2], without[len(without)/2]
	b.ReportMetric(off/1e6, "MB/s-without")
	b.ReportMetric(on/1e6, "MB/s-with")
	b.ReportMetric(100*(1-on/off), "%-cost")
}
