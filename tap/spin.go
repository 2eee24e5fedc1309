package tap

import "time"

// spinner decides how long a reader looks again before it sleeps. Waking a
// sleeping thread on another core costs 30 to 60 us, several times what a round
// trip through the kernel does; looking costs the CPU meanwhile. So a reader
// looks again for up to limit, but only where that has just been seen to help:
// if the last wait was over soon. An idle queue's reader sleeps at once.
type spinner struct {
	limit time.Duration // 0 never spins

	waiting bool
	since   time.Time // when this wait began
	futile  bool      // the last wait was too long to spin through
}

// again is asked after every look that found nothing. It reports whether to
// look again rather than sleep.
func (s *spinner) again() bool {
	if s.limit <= 0 {
		return false
	}
	now := time.Now()
	if !s.waiting {
		s.waiting, s.since = true, now
		return !s.futile
	}
	return !s.futile && now.Sub(s.since) < s.limit
}

// got says that a look has found something.
func (s *spinner) got() {
	if s.waiting {
		s.waiting = false
		// Twice the limit: a sleep that was hardly longer than the spin would
		// have been is a reason to spin the next time.
		s.futile = time.Since(s.since) > 2*s.limit
	}
}
