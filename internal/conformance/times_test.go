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

var repeats = flag.Int("repeats", 1, "how often TestTimes runs everything, for each GOMAXPROCS")

// Bounds on two CPUs.
const (
	mostAll    = 10 * time.Second
	mostMedian = 20 * time.Millisecond
)

// TestTimes runs everything in strict mode, again and again with several
// values of GOMAXPROCS, and demands the same results to the last word, and that
// they come soon.
func TestTimes(t *testing.T) {
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
	all := func() (results []Result, took time.Duration) {
		begun := time.Now()
		for i := range suites {
			some, err := suites[i].Run(context.Background(), "strict", reasons.Settings)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, some...)
		}
		return results, time.Since(begun)
	}
	results, took := all()
	want := digest(results)
	var walls []time.Duration
	for _, r := range results {
		walls = append(walls, r.Wall)
	}
	slices.Sort(walls)
	times := Times{
		Scripts: len(results), CPUs: runtime.NumCPU(), All: took,
		Median: walls[len(walls)/2], Slowest: walls[len(walls)-1], Repeats: *repeats,
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		times.MaxProc = append(times.MaxProc, n)
		for i := range *repeats {
			if results, _ = all(); digest(results) != want {
				t.Fatalf("run %d with GOMAXPROCS %d has other results", i, n)
			}
		}
	}
	t.Logf("%+v", times)
	if times.All > mostAll || times.Median > mostMedian {
		t.Errorf("everything took %v, a script %v at the median; it should be %v and %v at most", times.All, times.Median, mostAll, mostMedian)
	}
	if !*write {
		return
	}
	if len(suites) == 1 {
		t.Fatal("only our own scripts are here: times.json is of all")
	}
	if err := times.WriteFile(data + "times.json"); err != nil {
		t.Fatal(err)
	}
}

// digest is the sum of all that a run found out, but for how long it took.
func digest(results []Result) [32]byte {
	h := sha256.New()
	for _, r := range results {
		fmt.Fprintln(h, r.Script, r.Result, r.Output, r.Virtual)
	}
	return [32]byte(h.Sum(nil))
}
