package conformance

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

var repeats = flag.Int("repeats", 1, "how often TestRepeats runs everything, for each GOMAXPROCS")

// Bounds on two CPUs.
const (
	mostAll    = 10 * time.Second
	mostMedian = 20 * time.Millisecond
)

// runner gives a function that runs everything in strict mode, and whether
// other people's suites are in it.
func runner(t *testing.T) (run func() []Result, shared bool) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector makes it twenty times slower")
	}
	reasons, err := ReadReasons(data + "reasons.toml")
	if err != nil {
		t.Fatal(err)
	}
	suites, err := Suites(own, sharedDir(t))
	if err != nil {
		t.Fatal(err)
	}
	return func() (results []Result) {
		for i := range suites {
			some, err := suites[i].Run(context.Background(), "strict", reasons.Settings)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, some...)
		}
		return results
	}, len(suites) > 1
}

// record writes what a test found out into times.json, if it is of all scripts.
func record(t *testing.T, shared bool, set func(*Times)) {
	t.Helper()
	if !*write {
		return
	}
	if !shared {
		t.Fatal("only our own scripts are here: times.json is of all")
	}
	times, err := ReadTimes(data + "times.json")
	if err != nil {
		t.Fatal(err)
	}
	set(&times)
	if err := times.WriteFile(data + "times.json"); err != nil {
		t.Fatal(err)
	}
}

// TestTimes demands that everything is run soon: in the best of a few attempts,
// because the machine may have something else to do.
func TestTimes(t *testing.T) {
	run, shared := runner(t)
	const attempts = 5
	var took, median, slowest time.Duration
	n := 0
	for range attempts {
		begun := time.Now()
		results := run()
		took = time.Since(begun)
		var walls []time.Duration
		for _, r := range results {
			walls = append(walls, r.Wall)
		}
		slices.Sort(walls)
		n, median, slowest = len(walls), walls[len(walls)/2], walls[len(walls)-1]
		t.Logf("%d scripts in %v, the median %v, the slowest %v", n, took, median, slowest)
		if took <= mostAll && median <= mostMedian {
			break
		}
	}
	if took > mostAll || median > mostMedian {
		t.Errorf("everything took %v, a script %v at the median; it should be %v and %v at most", took, median, mostAll, mostMedian)
	}
	record(t, shared, func(ts *Times) {
		ts.Scripts, ts.CPUs, ts.All, ts.Median, ts.Slowest = n, runtime.NumCPU(), took, median, slowest
	})
}

// TestRepeats runs everything again and again with several values of
// GOMAXPROCS, and demands the same results to the last word.
func TestRepeats(t *testing.T) {
	run, shared := runner(t)
	want := digest(run())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	procs := []int{1, 2, 8}
	for _, n := range procs {
		runtime.GOMAXPROCS(n)
		for i := range *repeats {
			if digest(run()) != want {
				t.Fatalf("run %d with GOMAXPROCS %d has other results", i, n)
			}
		}
	}
	record(t, shared, func(ts *Times) { ts.Repeats, ts.MaxProc = *repeats, procs })
}

// digest is the sum of all that a run found out, but for how long it took.
func digest(results []Result) [32]byte {
	h := sha256.New()
	for _, r := range results {
		fmt.Fprintln(h, r.Script, r.Result, r.Output, r.Virtual)
	}
	return [32]byte(h.Sum(nil))
}
