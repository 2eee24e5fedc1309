package drill

import (
	"math"
	"time"

	"tapstack/drill/script"
)

// How a script goes through time: by one thing that happens at a time, with a
// barrier after each, so that nothing is in flight whenever the script looks.

// step counts what the script does, and ends it when that is too much.
func (r *run) step() {
	if r.steps++; r.steps > r.cfg.Steps {
		fail(r.pos, "more than %d timers and events", r.cfg.Steps)
	}
	const often = 64
	if r.steps%often == 0 {
		r.overdue()
	}
}

// overdue ends the script when it has taken too long, or nobody waits for it.
func (r *run) overdue() {
	select {
	case <-r.cfg.done:
		panic(&stop{pos: r.pos, outcome: Fail, reason: "interrupted", interrupted: true})
	default:
	}
	if !time.Now().Before(r.deadline) {
		fail(r.pos, "takes longer than %v", r.cfg.WallLimit)
	}
}

// settle lets everything happen that is due now, and looks what was sent.
func (r *run) settle() {
	for {
		r.quiesce()
		if !r.clock.fire() {
			break
		}
		r.step()
	}
	r.retry()
}

// quiesce waits until nothing is in flight and collects what was sent.
func (r *run) quiesce() {
	for _, h := range r.hosts {
		h.stack.Quiesce()
	}
	for _, h := range r.hosts {
		if h.wire != nil {
			for _, f := range h.wire.take() {
				h.sent = append(h.sent, dissect(f))
			}
		}
		for _, p := range h.links {
			p.forward()
		}
	}
}

// stepOnce moves to the next thing that happens, if that is not after limit;
// otherwise to limit, and reports false.
func (r *run) stepOnce(limit time.Time) bool {
	if !r.clock.step(limit) {
		r.overdue()
		return false
	}
	r.step()
	r.settle()
	return true
}

// advance lets time pass until t.
func (r *run) advance(t time.Time) {
	for r.stepOnce(t) {
	}
}

// times is when an event is to happen, on the clock: one time, or a range.
// For an event at any time it is now.
func (r *run) times(e *script.Event, scheduled bool) (from, to time.Time) {
	base := r.start
	if k := e.Time.Kind; k == script.TimeRelative || k == script.TimeRelativeRange {
		if base = r.clock.Now(); scheduled {
			base = r.prev
		}
	}
	d := e.Time.From
	if e.Time.Expr != nil {
		d = r.computed(e.Time.Expr)
	}
	switch e.Time.Kind {
	case script.TimeNone, script.TimeAny:
		return r.clock.Now(), r.clock.Now()
	case script.TimeAbsoluteRange, script.TimeRelativeRange:
		return base.Add(d), base.Add(e.Time.To)
	default:
		return base.Add(d), base.Add(d)
	}
}

// computed is a time that is an expression, in seconds.
func (r *run) computed(x script.Expr) time.Duration {
	v, err := script.Eval(x, r.lookup)
	r.check(err)
	var s float64
	switch v := v.(type) {
	case int64:
		s = float64(v)
	case float64:
		s = v
	default:
		fail(x.At(), "expected a time in seconds, found %s", script.Show(v))
	}
	const most = 1e9
	if math.IsNaN(s) || s < 0 || s > most {
		fail(x.At(), "%v is no time in seconds", s)
	}
	return time.Duration(math.Round(s * float64(time.Second)))
}

// at lets time pass until an event that is not a packet to be expected.
func (r *run) at(e *script.Event) {
	from, _ := r.times(e, false)
	r.reach(e, from)
}

// reach lets time pass until t, which an event is due at.
func (r *run) reach(e *script.Event, t time.Time) {
	now := r.clock.Now()
	if late := now.Sub(t); late > r.tolerance(t, r.prev) {
		panic(&stop{
			pos: e.Pos, outcome: Fail, reason: "too late: the event before ended after this one's time",
			want: "at " + seconds(t.Sub(r.start)), got: "at " + seconds(now.Sub(r.start)),
		})
	}
	r.advance(t)
	r.settle()
}

// tolerance is how far off an event may be that is due at t and follows one
// at prev.
func (r *run) tolerance(t, prev time.Time) time.Duration {
	const part = 8 // 12.5 %
	d := t.Sub(prev)
	return max(r.opts.tolerance, max(d, -d)/part)
}
