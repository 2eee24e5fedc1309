package tap

import (
	"testing"
	"time"
)

// wait plays one wait that would take so long, and says how long the reader
// looked before it slept. Time is the spinner's own: since is moved back.
func wait(s *spinner, long time.Duration) (spun bool) {
	spun = s.again()
	s.since = s.since.Add(-long)
	if spun && long > s.limit && s.again() {
		panic("it spins beyond its limit")
	}
	s.got()
	return spun
}

func TestSpinner(t *testing.T) {
	const limit = time.Minute // so that the test's own time does not count
	s := &spinner{limit: limit}
	for range 20 {
		if !wait(s, time.Second) {
			t.Fatal("short waits are not spun through")
		}
	}
	spins := 0
	for range 800 {
		if wait(s, time.Hour) {
			spins++
		}
	}
	if spins < 100 || spins > 103 {
		t.Errorf("%d spins in 800 long waits, want one in %d", spins, maxSkips)
	}
	// Waits become short: found out by the next try at the latest.
	for i := 0; !wait(s, time.Second); i++ {
		if i > maxSkips {
			t.Fatal("it never spins again")
		}
	}
	for range 20 {
		if !wait(s, time.Second) {
			t.Fatal("short waits are not spun through again")
		}
	}
	off := &spinner{}
	if off.again() {
		t.Error("a limit of 0 spins")
	}
	off.got()
}
