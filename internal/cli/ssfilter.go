package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tapstack/internal/daemon/api"
)

// The filter of ss(8):
//
//	[state STATE | exclude STATE]... EXPRESSION
//	EXPRESSION: src|dst ADDRESS[/BITS][:PORT]   sport|dport OP [:]PORT   and or not ( )
//	OP: = == eq != ne < lt > gt <= le >= ge
//
// Tokens may come in one argument or in many.

// ssFilter says which sockets to show.
type ssFilter struct {
	states []string // RFC 9293's names; nil: as the flags say
	match  func(*ssSocket) bool
}

// ssSocket is a socket with its addresses read.
type ssSocket struct {
	*api.Socket
	local, remote netip.AddrPort // an invalid address is any
}

func newSSSocket(s *api.Socket) ssSocket {
	return ssSocket{s, parseEndpoint(s.Local), parseEndpoint(s.Remote)}
}

// parseEndpoint reads an address as the API writes it.
func parseEndpoint(text string) netip.AddrPort {
	if port, ok := strings.CutPrefix(text, "*:"); ok {
		n, _ := strconv.ParseUint(port, 10, 16)
		return netip.AddrPortFrom(netip.Addr{}, uint16(n))
	}
	ap, _ := netip.ParseAddrPort(text)
	return ap
}

// ssStates are ss's names for the states, and for sets of them.
var ssStates = map[string][]string{
	"established": {"ESTABLISHED"}, "syn-sent": {"SYN-SENT"}, "syn-recv": {"SYN-RECEIVED"},
	"fin-wait-1": {"FIN-WAIT-1"}, "fin-wait-2": {"FIN-WAIT-2"}, "time-wait": {"TIME-WAIT"},
	"closed": {"CLOSED"}, "close-wait": {"CLOSE-WAIT"}, "last-ack": {"LAST-ACK"},
	"listening": {"LISTEN"}, "listen": {"LISTEN"}, "closing": {"CLOSING"}, "unconnected": {"CLOSED"},
	"all":          allStates,
	"connected":    without(allStates, "LISTEN", "CLOSED"),
	"synchronized": without(allStates, "LISTEN", "CLOSED", "SYN-SENT"),
	"bucket":       {"SYN-RECEIVED", "TIME-WAIT"},
	"big":          without(allStates, "SYN-RECEIVED", "TIME-WAIT"),
}

var allStates = []string{"ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
	"CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING"}

func without(list []string, not ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(not, s) })
}

// parseSSFilter reads a filter.
func parseSSFilter(args []string) (*ssFilter, error) {
	p := &ssParser{tokens: ssTokens(strings.Join(args, " "))}
	f := &ssFilter{}
	for p.peek() == "state" || p.peek() == "exclude" {
		word, name := p.next(), p.next()
		set, ok := ssStates[strings.ToLower(name)]
		if !ok {
			return nil, usagef("ss: there is no state %q", name)
		}
		if word == "state" {
			f.states = append(f.states, without(set, f.states...)...)
			continue
		}
		if f.states == nil {
			f.states = allStates
		}
		f.states = without(f.states, set...)
	}
	if p.peek() == "" {
		return f, nil
	}
	match, err := p.either()
	if err == nil && p.peek() != "" {
		err = usagef("ss: %q: want \"and\", \"or\" or the end of the filter", p.peek())
	}
	f.match = match
	return f, err
}

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ssTokens cuts a filter into words, parentheses and operators.
func ssTokens(text string) []string {
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

type ssParser struct {
	tokens []string
	depth  int
}

func (p *ssParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *ssParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

type ssTest = func(*ssSocket) bool

func (p *ssParser) either() (ssTest, error) {
	left, err := p.both()
	for err == nil && slices.Contains([]string{"or", "||", "|"}, p.peek()) {
		p.next()
		var right ssTest
		if right, err = p.both(); err == nil {
			a := left
			left = func(s *ssSocket) bool { return a(s) || right(s) }
		}
	}
	return left, err
}

// both is terms with "and", or nothing, between them.
func (p *ssParser) both() (ssTest, error) {
	left, err := p.term()
	for err == nil && !slices.Contains([]string{"", ")", "or", "||", "|"}, p.peek()) {
		if slices.Contains([]string{"and", "&&", "&"}, p.peek()) {
			p.next()
		}
		var right ssTest
		if right, err = p.term(); err == nil {
			a := left
			left = func(s *ssSocket) bool { return a(s) && right(s) }
		}
	}
	return left, err
}

func (p *ssParser) term() (ssTest, error) {
	if p.depth++; p.depth > 50 {
		return nil, usagef("ss: the filter is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch word := p.next(); word {
	case "not", "!":
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		return func(s *ssSocket) bool { return !t(s) }, nil
	case "(":
		t, err := p.either()
		if err == nil && p.next() != ")" {
			err = usagef("ss: a parenthesis is not closed")
		}
		return t, err
	case "src", "dst":
		op := p.operator()
		if op != "=" && op != "!=" {
			return nil, usagef("ss: %s: an address is = or !=", word)
		}
		t, err := ssAddress(word == "src", p.next())
		if err != nil || op == "=" {
			return t, err
		}
		return func(s *ssSocket) bool { return !t(s) }, nil
	case "sport", "dport":
		return ssPort(word == "sport", p.operator(), p.next())
	case "":
		return nil, usagef("ss: the filter ends too early")
	default:
		return nil, usagef("ss: %q: want state, exclude, src, dst, sport or dport", word)
	}
}

// operator takes a comparison; without one it is equality.
func (p *ssParser) operator() string {
	names := map[string]string{"=": "=", "==": "=", "eq": "=", "!=": "!=", "ne": "!=", "neq": "!=", "<": "<", "lt": "<",
		">": ">", "gt": ">", "<=": "<=", "le": "<=", "leq": "<=", ">=": ">=", "ge": ">=", "geq": ">="}
	if op := names[p.peek()]; op != "" {
		p.next()
		return op
	}
	return "="
}

func ssPort(local bool, op, text string) (ssTest, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, ":"), 10, 16)
	if err != nil {
		return nil, usagef("ss: %q is no port number", text)
	}
	want := uint16(n)
	return func(s *ssSocket) bool {
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
func ssAddress(local bool, text string) (ssTest, error) {
	wrong := usagef("ss: %q is no address, such as 10.0.0.0/8, 192.168.77.1:80 or [fd00::1]:80", text)
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
	var ofPort ssTest
	if port != "" && port != ":*" {
		var err error
		if ofPort, err = ssPort(local, "=", port); err != nil {
			return nil, err
		}
	}
	if address == "" && ofPort == nil {
		return nil, wrong
	}
	return func(s *ssSocket) bool {
		at := s.remote.Addr()
		if local {
			at = s.local.Addr()
		}
		return (!within.IsValid() || at.IsValid() && within.Contains(at.WithZone(""))) && (ofPort == nil || ofPort(s))
	}, nil
}
