package drill_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapstack/drill"
	"tapstack/drill/script"
)

// A mutation is one expectation of a script made wrong.
type mutation struct {
	name  string
	pos   script.Pos
	apply func()
}

// mutations are those of a script's tree, in an order that depends on nothing
// else. Only what the script expects is changed, never what it does.
func mutations(s *script.Script) (all []mutation) {
	add := func(pos script.Pos, name string, apply func()) {
		all = append(all, mutation{name, pos, apply})
	}
	value := func(pos script.Pos, name string, v *script.Value) {
		switch v.Kind {
		case script.Exact:
			add(pos, name, func() { v.Lo++; v.Hi++ })
		case script.Computed:
			add(pos, name, func() { v.Expr = &script.Formula{Pos: pos, X: plusOne(v.Expr.X)} })
		default:
		}
	}
	s.Inspect(func(n script.Node) bool {
		switch n := n.(type) {
		case *script.Event:
			pk, ok := n.Action.(*script.Packet)
			if !ok || !pk.Outbound {
				return true
			}
			if n.Time.Kind != script.TimeAny && n.Time.Kind != script.TimeNone {
				add(n.Pos, "time, late", func() {
					late := n.Time.From/2 + time.Second
					n.Time.From, n.Time.To = n.Time.From+late, n.Time.To+late
				})
				add(n.Pos, "time, early", func() {
					early := n.Time.From/2 + time.Second
					n.Time.From, n.Time.To = n.Time.From-early, n.Time.To-early
				})
			}
			mutatePacket(pk, add, value)
		case *script.Call:
			mutateCall(n, add)
		case *script.Assert:
			mutateAssert(n, add)
			return false
		}
		return true
	})
	return all
}

func plusOne(x script.Expr) script.Expr {
	return &script.Binary{Pos: x.At(), Op: "+", X: x, Y: &script.Number{Pos: x.At(), Int: 1, Base: 10}}
}

func mutatePacket(pk *script.Packet, add func(script.Pos, string, func()), value func(script.Pos, string, *script.Value)) {
	switch b := pk.Body.(type) {
	case *script.TCP:
		for bit := script.FIN; bit <= script.AE; bit <<= 1 {
			add(b.Pos, "flag "+bit.String(), func() { b.Flags ^= bit })
		}
		if b.Seq.Kind == script.Exact && b.Flags&script.SYN == 0 {
			// The number of our SYN is what all others are relative to.
			add(b.Pos, "seq", func() { b.Seq.Lo++; b.End.Lo++ })
			add(b.Pos, "seq down", func() { b.Seq.Lo--; b.End.Lo-- })
		}
		if b.Len.Kind == script.Exact && b.End.Kind == script.Exact {
			add(b.Pos, "length", func() { b.Len.Lo++; b.End.Lo++ })
		}
		if b.Flags&script.ACK != 0 {
			value(b.Pos, "ack", &b.Ack)
		}
		value(b.Pos, "win", &b.Win)
		for _, o := range b.Options {
			switch o := o.(type) {
			case *script.MSS:
				value(o.Pos, "mss", &o.Size)
			case *script.WindowScale:
				value(o.Pos, "wscale", &o.Shift)
			case *script.SACK:
				value(o.Pos, "sack start", &o.Blocks[0].Start)
				value(o.Pos, "sack end", &o.Blocks[0].End)
			}
		}
		if !b.AnyOptions {
			add(b.Pos, "one more option", func() { b.Options = append(b.Options, &script.NOP{}) })
		}
	case *script.UDP:
		value(b.Pos, "length", &b.Len)
		add(b.Pos, "protocol", func() { pk.Body = &script.ICMP{Pos: b.Pos, Type: "echo_reply"} })
	case *script.ICMP:
		value(b.Pos, "length", &b.Len)
		value(b.Pos, "seq", &b.Seq)
		if q := b.Quote; q != nil {
			value(q.Pos, "quoted seq", &q.Seq)
			value(q.Pos, "quoted end", &q.End)
			value(q.Pos, "quoted length", &q.Len)
		}
		add(b.Pos, "type", func() { b.Type = "type_200" })
		add(b.Pos, "code", func() { b.Code = "code_99" })
		add(b.Pos, "protocol", func() { pk.Body = &script.UDP{Pos: b.Pos} })
	case *script.ARP:
		add(b.Pos, "target", func() { b.Target = b.Target.Next() })
		add(b.Pos, "operation", func() { b.Reply = !b.Reply; b.Tell = b.Target })
		if b.MAC != nil {
			add(b.Pos, "address", func() { b.MAC[5]++ })
		} else {
			add(b.Pos, "tell", func() { b.Tell = b.Tell.Next() })
		}
	case *script.NDP:
		add(b.Pos, "target", func() { b.Target = b.Target.Next() })
		add(b.Pos, "address", func() { b.MAC[5]++ })
		add(b.Pos, "kind", func() { b.Advert = !b.Advert })
		add(b.Pos, "router", func() { b.Router = !b.Router })
		add(b.Pos, "solicited", func() { b.Solicited = !b.Solicited })
	case *script.Raw:
		for i := range b.Data {
			add(b.Pos, "byte", func() { b.Data[i]++ })
		}
	}
}

func mutateCall(c *script.Call, add func(script.Pos, string, func())) {
	switch n := c.Result.(type) {
	case *script.Number:
		add(c.Pos, "result", func() { n.Int++ })
		add(c.Pos, "result down", func() { n.Int -= 2 })
	case *script.Binary, *script.Name:
		add(c.Pos, "result", func() { c.Result = plusOne(n) })
	}
	if c.Errno != "" {
		add(c.Pos, "errno", func() { c.Errno = "ENOMEM" })
	}
	if c.Blocks {
		add(c.Pos, "time of return", func() { c.Until += c.Until/2 + time.Second })
	}
	if c.Name == "getsockopt" || c.Name == "ioctl" {
		if list, ok := c.Args[len(c.Args)-1-len(c.Args)/5].(*script.List); ok {
			add(c.Pos, "value", func() { list.Elems[0] = plusOne(list.Elems[0]) })
		}
	}
}

// mutateAssert changes what "==" compares with.
func mutateAssert(a *script.Assert, add func(script.Pos, string, func())) {
	script.Inspect(a, func(n script.Node) bool {
		c, ok := n.(*script.Compare)
		if !ok {
			return true
		}
		for i, op := range c.Ops {
			if op != "==" {
				continue
			}
			switch x := c.Operands[i+1].(type) {
			case *script.String:
				add(c.Pos, "assertion", func() { x.Value += "x" })
			default:
				add(c.Pos, "assertion", func() { c.Operands[i+1] = plusOne(x) })
			}
		}
		return false
	})
}

// TestMutations makes one expectation after the other wrong, in each of our
// scripts, and demands that none of these still passes. What CONFORMANCE names
// of other people's is treated alike, as far as it passes. With the race
// detector only a part of them is tried.
//
// There are no survivors because nothing is changed that would say the same: not
// the number of a SYN, which the others are relative to, not timestamps, which
// are not compared, and not a time by less than its tolerance.
func TestMutations(t *testing.T) {
	files := own(t)
	for _, path := range conformance(t) {
		if drill.RunFile(path, profileOf(path)).Outcome == drill.Pass {
			files = append(files, path)
		}
	}
	const least = 5
	mutants, survivors, fewest := 0, 0, 1<<30
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		total := len(mutations(parse(t, path, src)))
		if fewest = min(fewest, total); total < least {
			t.Errorf("%s has %d expectations to change; a script that says something has %d", path, total, least)
		}
		for i := range total {
			// The race detector makes it twenty times slower, and sees what
			// there is to see in a part of them.
			const part = 10
			if raceEnabled && i%part != 0 {
				continue
			}
			s := parse(t, path, src)
			m := mutations(s)[i]
			m.apply()
			mutants++
			if res := drill.Run(s, profileOf(path)); res.Outcome != drill.Fail {
				survivors++
				t.Errorf("%s:%v: %s changed, and yet: %s", filepath.Base(path), m.pos, m.name, res.Outcome)
			}
		}
	}
	t.Logf("%d scripts, %d mutants, at least %d each; %d survivors", len(files), mutants, fewest, survivors)
}

func parse(t *testing.T, path string, src []byte) *script.Script {
	t.Helper()
	s, err := script.Parse(path, string(src), &script.Config{Defines: map[string]string{"STANDARD": ""}})
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
	return s
}
