package drill

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tapstack/drill/script"
	"tapstack/stack"
)

// RunFile reads a script and runs it. cfg may be nil.
func RunFile(path string, cfg *Config) *Result {
	src, err := readScript(path)
	if err != nil {
		return &Result{Path: path, Outcome: Fail, Reason: err.Error()}
	}
	return RunText(path, src, cfg)
}

// readScript reads a script, and a byte more than one may have where there is
// no end, as of /dev/zero: Parse refuses that.
func readScript(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, script.MaxSize+1))
	return string(src), err
}

// RunText runs a script that is in memory; path is for messages. cfg may be
// nil.
func RunText(path, src string, cfg *Config) *Result {
	c := cfg.withDefaults()
	defines := make(map[string]string, len(c.Defines)+1)
	if c.Profile == FreeBSD {
		defines["STANDARD"] = ""
	}
	for k, v := range c.Defines {
		defines[k] = v
	}
	s, err := script.Parse(path, src, &script.Config{Defines: defines})
	if err != nil {
		return parseFailure(path, err)
	}
	return Run(s, cfg)
}

func parseFailure(path string, err error) *Result {
	res := &Result{Path: path, Outcome: Fail, Reason: err.Error()}
	var e *script.Error
	if errors.As(err, &e) {
		res.Line, res.Column, res.Reason = int(e.Line), int(e.Col), e.Msg
		res.Excerpt = e.Excerpt()
		if e.Feature != "" {
			res.Outcome, res.Reason = Unsupported, e.Feature
		}
	}
	return res
}

// Run runs a script, in virtual time unless Config.RealTime says otherwise, and
// once for each combination of its parameters; the first that does not pass is
// the result. cfg may be nil. It makes stacks and ends them; nothing is left
// when it returns, unless the script took longer than Config.WallLimit inside a
// single call.
func Run(s *script.Script, cfg *Config) *Result {
	c := cfg.withDefaults()
	if len(s.Events) == 0 {
		return &Result{Path: s.File, Outcome: Fail, Line: 1, Column: 1, Reason: "nothing happens here: a script has at least one event"}
	}
	if res := tooLong(s, c); res != nil {
		return res
	}
	done := make(chan *Result, 1)
	go func() { done <- runAll(s, c) }()
	// The interpreter looks at the time itself: this is for calls that do not
	// return.
	hung := time.NewTimer(c.WallLimit + c.WallLimit/2)
	defer hung.Stop()
	select {
	case res := <-done:
		return res
	case <-hung.C:
		return &Result{Path: s.File, Outcome: Fail, Reason: fmt.Sprintf("still inside one step after %v", c.WallLimit), Wall: c.WallLimit}
	}
}

// tooLong runs a script that is to take real time in virtual time first, and
// is not nil if it would take longer than it may. (What else becomes of it
// there does not matter.)
func tooLong(s *script.Script, c Config) *Result {
	if c.RealTime == nil {
		return nil
	}
	v := c
	v.RealTime, v.Capture = nil, nil
	if res := Run(s, &v); res.Virtual > c.WallLimit {
		return &Result{
			Path: s.File, Outcome: Unsupported, Virtual: res.Virtual, Wall: res.Wall,
			Reason: fmt.Sprintf("%v of real time: at most %v", res.Virtual.Round(time.Second), c.WallLimit),
		}
	}
	return nil
}

// run is one run of a script, with one value of each parameter.
type run struct {
	script *script.Script
	cfg    Config
	opts   options
	consts map[string]int64

	clock    pace
	start    time.Time // on the clock, when the script begins
	deadline time.Time // on the machine's clock, for the whole script
	steps    int

	hosts []*host
	pos   script.Pos // of the event that is being run
	vars  map[string]any
	out   strings.Builder

	// What the time of the next event is relative to.
	prev        time.Time // the end of the event before, or an inbound packet's scheduled time
	prevInbound bool
}

func runAll(s *script.Script, c Config) *Result {
	begun, ran := time.Now(), false
	res := &Result{Path: s.File}
	combinations(s, func(vars map[string]any) bool {
		ran = true
		one := runOnce(s, c, vars, begun.Add(c.WallLimit))
		one.Virtual += res.Virtual
		one.Output = res.Output + one.Output
		if res = one; one.Outcome != Pass && len(s.Params) > 0 {
			res.Reason = fmt.Sprintf("%s (with %s)", one.Reason, showVars(s, vars))
		}
		if one.Outcome == Pass && time.Since(begun) > c.WallLimit {
			res.Outcome, res.Reason = Fail, fmt.Sprintf("all values of the parameters take longer than %v", c.WallLimit)
		}
		return res.Outcome == Pass
	}, res)
	if !ran && res.Outcome == Pass {
		res.record(&stop{pos: s.Params[0].Pos, outcome: Fail, reason: "the parameters have no values: nothing was run"})
	}
	res.Wall = time.Since(begun)
	return res
}

// combinations calls f with each combination of the parameters until it
// reports false.
func combinations(s *script.Script, f func(map[string]any) bool, res *Result) {
	defer func() {
		if st, ok := recoverStop(recover()); ok {
			res.record(st)
		}
	}()
	var choose func(params []*script.Param, vars map[string]any) bool
	choose = func(params []*script.Param, vars map[string]any) bool {
		if len(params) == 0 {
			cp := make(map[string]any, len(vars))
			for k, v := range vars {
				cp[k] = v
			}
			return f(cp)
		}
		p := params[0]
		return eachValue(p.Pos, p.Values, lookupVars(vars), func(n int64) bool {
			vars[p.Name] = n
			defer delete(vars, p.Name)
			return choose(params[1:], vars)
		})
	}
	choose(s.Params, make(map[string]any))
}

func showVars(s *script.Script, vars map[string]any) string {
	var parts []string
	for _, p := range s.Params {
		parts = append(parts, fmt.Sprintf("%s = %s", p.Name, script.Show(vars[p.Name])))
	}
	return strings.Join(parts, ", ")
}

func lookupVars(vars map[string]any) script.Lookup {
	return func(x script.Expr, _ []any) (any, error) {
		if n, ok := x.(*script.Name); ok {
			if v, ok := vars[n.Name]; ok {
				return v, nil
			}
		}
		return nil, fmt.Errorf("unknown name %s", script.Format(x))
	}
}

// eachValue calls f with every value of the spans until it reports false.
func eachValue(pos script.Pos, spans []*script.Span, lookup script.Lookup, f func(int64) bool) bool {
	for _, s := range spans {
		from, to, step, err := s.Bounds(lookup)
		if err != nil {
			fail(pos, "%v", err)
		}
		for n := from; step > 0 && n <= to || step < 0 && n >= to; {
			if !f(n) {
				return false
			}
			next := n + step
			if (next > n) != (step > 0) {
				break // beyond 64 bits
			}
			n = next
		}
	}
	return true
}

func runOnce(s *script.Script, c Config, vars map[string]any, deadline time.Time) (res *Result) {
	r := &run{script: s, cfg: c, clock: virtual{stack.NewVirtualClock()}, vars: vars, deadline: deadline}
	if c.RealTime != nil {
		r.clock = newWall(deadline, c.done)
	}
	defer r.clock.close()
	r.start = r.clock.Now()
	res = &Result{Path: s.File}
	defer func() {
		st, stopped := recoverStop(recover())
		if stopped {
			res.record(st)
		}
		res.Virtual, res.Output = r.clock.Now().Sub(r.start), r.out.String()
		for _, h := range r.hosts {
			h.close()
		}
	}()
	r.opts = r.readOptions()
	r.consts = constants(c.Profile)
	if len(s.Hosts) > 0 {
		r.newHosts()
	} else {
		r.newHost()
	}
	// What it took to make the stacks is not the script's time.
	r.start = r.clock.Now()
	r.prev = r.start
	r.events(s.Events)
	r.end()
	return res
}

// recoverStop tells a stop from a bug, which goes on panicking.
func recoverStop(v any) (*stop, bool) {
	if v == nil {
		return nil, false
	}
	st, ok := v.(*stop)
	if !ok {
		panic(v)
	}
	return st, true
}

func (res *Result) record(st *stop) {
	res.Outcome, res.Reason = st.outcome, st.reason
	res.Line, res.Column = int(st.pos.Line), int(st.pos.Col)
	res.Want, res.Got, res.Diffs = st.want, st.got, st.diffs
	res.interrupted = st.interrupted
}

// check fails the script for an error of its own making.
func (r *run) check(err error) {
	if err == nil {
		return
	}
	pos := r.pos
	var e *script.EvalError
	if errors.As(err, &e) {
		pos, err = e.Pos, e.Err
	}
	fail(pos, "%v", err)
}

// events runs events one after the other.
func (r *run) events(events []*script.Event) {
	for _, e := range events {
		r.pos = e.Pos
		r.step()
		h := r.hostOf(e)
		switch a := e.Action.(type) {
		case *script.Packet:
			if a.Outbound || h.wire == nil {
				r.expect(h, e, a)
			} else {
				r.send(h, e, a)
			}
		case *script.Call:
			r.call(h, e, a)
		case *script.Code:
			r.at(e)
			r.code(h, a)
		case *script.Shell:
			r.at(e)
			r.shell(a)
		case *script.ExpectNothing:
			r.at(e)
			r.expectNothing(h, a)
		case *script.For:
			r.loop(a)
		}
		if _, inbound := e.Action.(*script.Packet); !inbound {
			r.prev, r.prevInbound = r.clock.Now(), false
		}
	}
}

func (r *run) loop(f *script.For) {
	old, had := r.vars[f.Name]
	eachValue(f.Pos, f.Values, r.lookup, func(n int64) bool {
		r.vars[f.Name] = n
		r.events(f.Body)
		r.step()
		return true
	})
	if delete(r.vars, f.Name); had {
		r.vars[f.Name] = old
	}
}

func (r *run) hostOf(e *script.Event) *host {
	if len(r.script.Hosts) == 0 {
		return r.hosts[0]
	}
	for _, h := range r.hosts {
		if h.name == e.Host {
			return h
		}
	}
	switch e.Action.(type) {
	case *script.Call, *script.Packet:
		fail(e.Pos, "which host? This script has several: write its name and a colon in front")
	}
	return r.hosts[0]
}

// send injects a packet of the script's.
func (r *run) send(h *host, e *script.Event, pk *script.Packet) {
	at, _ := r.times(e, r.prevInbound)
	r.reach(e, at)
	if err := h.wire.inject(r.build(h, pk)); err != nil {
		unsupported(e.Pos, "a frame that the device does not carry: %v", err)
	}
	r.settle()
	r.prev, r.prevInbound = at, true
}

// end is after the last event: calls that still block must return.
func (r *run) end() {
	for _, h := range r.hosts {
		for len(h.blocked) > 0 {
			b := h.blocked[0]
			r.pos = b.call.Pos
			limit := b.until.Add(r.tolerance(b.until, b.since))
			if !r.stepOnce(limit) {
				fail(b.call.Pos, "%s has not returned", b.call.Name)
			}
		}
		if r.cfg.Mode&StrictEnd != 0 && h.wire != nil {
			r.strictEnd(h)
		}
	}
}

func (r *run) strictEnd(h *host) {
	for _, p := range h.sent {
		if p.tcp == nil && p.udp == nil && p.icmp == nil {
			continue
		}
		var f *flow
		if k, ok := p.keyOf(false); ok {
			f = h.find(k)
		}
		panic(&stop{pos: r.pos, outcome: Fail, reason: "a packet is left at the end", got: r.stamped(p.at, describe(f, p, nil))})
	}
}

// stamped is an event's text with its time.
func (r *run) stamped(at time.Time, text string) string {
	return seconds(at.Sub(r.start)) + " " + text
}
