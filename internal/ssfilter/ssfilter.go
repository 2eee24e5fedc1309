// Package ssfilter reads the filter language of ss(8):
//
//	[state STATE | exclude STATE]... EXPRESSION
//	EXPRESSION: src|dst ADDRESS[/BITS][:PORT]   sport|dport OP [:]PORT   and or not ( )
//	OP: = == eq != ne < lt > gt <= le >= ge
//
// It knows addresses and names of states, and no socket.
package ssfilter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Filter says which sockets to show. It is safe for concurrent use.
type Filter struct {
	States []string // RFC 9293's names; nil: the filter does not say
	match  test
}

// Match reports whether a socket with these addresses is to be shown. An
// invalid address is any address.
func (f *Filter) Match(local, remote netip.AddrPort) bool {
	return f.match == nil || f.match(&ends{local, remote})
}

// All reports whether Match takes every address.
func (f *Filter) All() bool { return f.match == nil }

// ends are a socket's addresses.
type ends struct{ local, remote netip.AddrPort }

type test = func(*ends) bool

// stateSets are ss's names for the states, and for sets of them.
var stateSets = map[string][]string{
	"established": {"ESTABLISHED"}, "syn-sent": {"SYN-SENT"}, "syn-recv": {"SYN-RECEIVED"},
	"fin-wait-1": {"FIN-WAIT-1"}, "fin-wait-2": {"FIN-WAIT-2"}, "time-wait": {"TIME-WAIT"},
	"closed": {"CLOSED"}, "close-wait": {"CLOSE-WAIT"}, "last-ack": {"LAST-ACK"},
	"listening": {"LISTEN"}, "listen": {"LISTEN"}, "closing": {"CLOSING"}, "unconnected": {"CLOSED"},
	"all":          AllStates,
	"connected":    Without(AllStates, "LISTEN", "CLOSED"),
	"synchronized": Without(AllStates, "LISTEN", "CLOSED", "SYN-SENT"),
	"bucket":       {"SYN-RECEIVED", "TIME-WAIT"},
	"big":          Without(AllStates, "SYN-RECEIVED", "TIME-WAIT"),
}

// AllStates are all that TCP has.
var AllStates = []string{"ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
	"CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING"}

// Without is list but for some.
func Without(list []string, not ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(not, s) })
}

// Parse reads a filter. The empty one takes everything.
func Parse(text string) (*Filter, error) {
	p := &parser{tokens: tokensOf(text)}
	f := &Filter{}
	for p.peek() == "state" || p.peek() == "exclude" {
		word, name := p.next(), p.next()
		set, ok := stateSets[strings.ToLower(name)]
		if !ok {
			return nil, fmt.Errorf("there is no state %q", name)
		}
		if word == "state" {
			f.States = append(f.States, Without(set, f.States...)...)
			continue
		}
		if f.States == nil {
			f.States = AllStates
		}
		f.States = Without(f.States, set...)
	}
	if p.peek() == "" {
		return f, nil
	}
	match, err := p.either()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q: want \"and\", \"or\" or the end of the filter", p.peek())
	}
	f.match = match
	return f, err
}

// tokensOf cuts a filter into words, parentheses and operators.
func tokensOf(text string) []string {
	var out []string
	word := func(w string) {
		if w != "" {
			out = append(out, w)
		}
	}
	start := 0
	for i := 0; i < len(text); i++ {
		n := 0
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n':
			word(text[start:i])
			start = i + 1
			continue
		case strings.HasPrefix(text[i:], "&&"), strings.HasPrefix(text[i:], "||"), strings.HasPrefix(text[i:], "=="),
			strings.HasPrefix(text[i:], "!="), strings.HasPrefix(text[i:], "<="), strings.HasPrefix(text[i:], ">="):
			n = 2
		case strings.ContainsRune("()!=<>&|", rune(c)):
			n = 1
		}
		if n > 0 {
			word(text[start:i])
			out = append(out, text[i:i+n])
			i += n - 1
			start = i + 1
		}
	}
	word(text[start:])
	return out
}

type parser struct {
	tokens []string
	depth  int
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) either() (test, error) {
	left, err := p.both()
	for err == nil && slices.Contains([]string{"or", "||", "|"}, p.peek()) {
		p.next()
		var right test
		if right, err = p.both(); err == nil {
			a := left
			left = func(s *ends) bool { return a(s) || right(s) }
		}
	}
	return left, err
}

// both is terms with "and", or nothing, between them.
func (p *parser) both() (test, error) {
	left, err := p.term()
	for err == nil && !slices.Contains([]string{"", ")", "or", "||", "|"}, p.peek()) {
		if slices.Contains([]string{"and", "&&", "&"}, p.peek()) {
			p.next()
		}
		var right test
		if right, err = p.term(); err == nil {
			a := left
			left = func(s *ends) bool { return a(s) && right(s) }
		}
	}
	return left, err
}

func (p *parser) term() (test, error) {
	if p.depth++; p.depth > 50 {
		return nil, fmt.Errorf("the filter is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch word := p.next(); word {
	case "not", "!":
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		return func(s *ends) bool { return !t(s) }, nil
	case "(":
		t, err := p.either()
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		return t, err
	case "src", "dst":
		op := p.operator()
		if op != "=" && op != "!=" {
			return nil, fmt.Errorf("%s: an address is = or !=", word)
		}
		t, err := addressTest(word == "src", p.next())
		if err != nil || op == "=" {
			return t, err
		}
		return func(s *ends) bool { return !t(s) }, nil
	case "sport", "dport":
		return portTest(word == "sport", p.operator(), p.next())
	case "":
		return nil, fmt.Errorf("the filter ends too early")
	default:
		return nil, fmt.Errorf("%q: want state, exclude, src, dst, sport or dport", word)
	}
}

// operator takes a comparison; without one it is equality.
func (p *parser) operator() string {
	names := map[string]string{"=": "=", "==": "=", "eq": "=", "!=": "!=", "ne": "!=", "neq": "!=", "<": "<", "lt": "<",
		">": ">", "gt": ">", "<=": "<=", "le": "<=", "leq": "<=", ">=": ">=", "ge": ">=", "geq": ">="}
	if op := names[p.peek()]; op != "" {
		p.next()
		return op
	}
	return "="
}

func portTest(local bool, op, text string) (test, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, ":"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no port number", text)
	}
	want := uint16(n)
	return func(s *ends) bool {
		have := s.remote.Port()
		if local {
			have = s.local.Port()
		}
		switch op {
		case "=":
			return have == want
		case "!=":
			return have != want
		case "<":
			return have < want
		case ">":
			return have > want
		case "<=":
			return have <= want
		default:
			return have >= want
		}
	}, nil
}

// ssAddress reads ADDRESS, ADDRESS/BITS, either with :PORT, [IPv6]:PORT, :PORT.
func addressTest(local bool, text string) (test, error) {
	wrong := fmt.Errorf("%q is no address, such as 10.0.0.0/8, 192.168.77.1:80 or [fd00::1]:80", text)
	address, port := text, ""
	if rest, ok := strings.CutPrefix(text, "["); ok {
		var found bool
		if address, port, found = strings.Cut(rest, "]"); !found || port != "" && port[0] != ':' {
			return nil, wrong
		}
	} else if i := strings.LastIndexByte(text, ':'); i >= 0 && strings.Count(text, ":") == 1 {
		address, port = text[:i], text[i:]
	}
	var within netip.Prefix
	if address != "" && address != "*" {
		var err error
		if within, err = netip.ParsePrefix(address); err != nil {
			a, err := netip.ParseAddr(address)
			if err != nil {
				return nil, wrong
			}
			within = netip.PrefixFrom(a, a.BitLen())
		}
	}
	var ofPort test
	if port != "" && port != ":*" {
		var err error
		if ofPort, err = portTest(local, "=", port); err != nil {
			return nil, err
		}
	}
	if address == "" && ofPort == nil {
		return nil, wrong
	}
	return func(s *ends) bool {
		at := s.remote.Addr()
		if local {
			at = s.local.Addr()
		}
		return (!within.IsValid() || at.IsValid() && within.Contains(at.WithZone(""))) && (ofPort == nil || ofPort(s))
	}, nil
}
