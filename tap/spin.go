package tap

import "time"

// spinner decides how long a reader looks again before it sleeps. Waking a
// sleeping thread on another core costs 30 to 60 us, several times what a round
// trip through the kernel does; looking costs the CPU meanwhile. So a reader
// looks again for up to limit, but only while that helps: after a few waits
// that were too long to spin through it sleeps at once, and tries again every
// now and then, lest waits that are long only because it sleeps keep it from
// ever finding out.
type spinner struct {
	limit time.Duration // 0 never spins

	waiting bool
	since   time.Time // when this wait began
	misses  int       // waits in a row that were longer than limit
	skipped int       // waits in a row not spun through
}

const (
	maxMisses = 3 // spins in vain before it gives up
	maxSkips  = 8 // waits until it tries again
)

// again is asked after every look that found nothing. It reports whether to
// look again rather than sleep.
func (s *spinner) again() bool {
	if s.limit <= 0 {
		return false
	}
	now := time.Now()
	if s.waiting {
		return now.Sub(s.since) < s.limit
	}
	s.waiting, s.since = true, now
	if s.misses < maxMisses {
		return true
	}
	s.skipped++
	if s.skipped < maxSkips {
		return false
	}
	s.skipped = 0
	return true
}

// got says that a look has found something.
func (s *spinner) got() {
	if !s.waiting {
		return
	}
	s.waiting = false
	if time.Since(s.since) <= s.limit {
		s.misses, s.skipped = 0, 0
	} else if s.misses < maxMisses {
		s.misses++
	}
}
