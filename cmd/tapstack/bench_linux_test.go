package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the daemon costs that nobody uses, as a process: run by "make micro".
// The limits are those that it was made to; beyond them a benchmark fails.
const (
	startLimit = 200 * time.Millisecond // from exec to a SYN that is answered
	idleCPU    = 1.0                    // percent of a core
	idleMemory = 40 << 20               // bytes resident
)

// BenchmarkStart is from the start of the program to an answered SYN, privileges
// dropped and all.
func BenchmarkStart(b *testing.B) {
	ns := needTAP(b)
	file := config(b, controlledConfig)
	var sum time.Duration
	for b.Loop() {
		p := prepare(b, ns, "-c", file)
		began := time.Now()
		p.begin(b)
		c := p.dial(b, "192.168.77.2:7")
		sum += time.Since(began)
		c.Close()
		p.stopped(b)
	}
	mean := sum / time.Duration(b.N)
	b.ReportMetric(float64(mean.Microseconds())/1000, "ms/start")
	if mean > startLimit {
		b.Errorf("%v to the first answered SYN, want less than %v", mean, startLimit)
	}
}

// BenchmarkIdle is memory and CPU of a daemon with everything that the example
// configures, over five seconds.
func BenchmarkIdle(b *testing.B) {
	ns := needTAP(b)
	const span = 5 * time.Second
	for b.Loop() {
		p := start(b, ns, "-c", "../../testdata/tapstack.toml")
		p.echoes(b, "192.168.77.2:7")
		before := cpuTime(b, p.Process.Pid)
		<-time.After(span)
		cpu := cpuTime(b, p.Process.Pid) - before
		rss := resident(b, p.Process.Pid)
		percent := 100 * cpu.Seconds() / span.Seconds()
		b.ReportMetric(percent, "%cpu")
		b.ReportMetric(float64(rss)/(1<<20), "MiB-resident")
		if percent > idleCPU || rss > idleMemory {
			b.Errorf("%.2f %% of a core and %d MiB, want less than %v %% and %d MiB", percent, rss>>20, idleCPU, idleMemory>>20)
		}
		p.stopped(b)
	}
}

// cpuTime is what all threads of a process have used: fields 14 and 15 of
// /proc/PID/stat, in hundredths of a second (proc(5), USER_HZ).
func cpuTime(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// resident is VmRSS in bytes.
func resident(b *testing.B, pid int) int {
	b.Helper()
	var kB int
	if _, err := fmt.Sscanf(threads(b, pid)[0]["VmRSS"], "%d kB", &kB); err != nil {
		b.Fatal(err)
	}
	return kB << 10
}
