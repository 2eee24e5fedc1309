package script_test

import (
	"reflect"
	"testing"

	"tapstack/drill/script"
)

func TestICMPNumbers(t *testing.T) {
	no := [3]int{-1}
	for src, want := range map[string][2][3]int{ // ICMPv4, ICMPv6
		"unreachable":                       {{3, 0}, {1, 0}},
		"unreachable port_unreachable":      {{3, 3}, {1, 4}},
		"unreachable frag_needed":           {{3, 4}, no},
		"unreachable no_route":              {no, {1, 0}},
		"unreachable code_200":              {{3, 200}, {1, 200}},
		"source_quench":                     {{4, 0}, no},
		"packet_too_big":                    {no, {2, 0}},
		"time_exceeded frag_reass_exceeded": {{11, 1}, no},
		"time_exceeded exceeded_frag_time":  {no, {3, 1}},
		"parameter_problem unknown_option":  {no, {4, 2}},
		"echo_request":                      {{8, 0}, {128, 0}},
		"type_77 code_5":                    {{77, 5}, {77, 5}},
	} {
		m := only(t, "0 < icmp "+src).Action.(*script.Packet).Body.(*script.ICMP)
		for i, v6 := range []bool{false, true} {
			typ, code, ok := m.Number(v6)
			if ok != (want[i] != no) || ok && (int(typ) != want[i][0] || int(code) != want[i][1]) {
				t.Errorf("%s, IPv6 %v: %d %d %v, want %v", src, v6, typ, code, ok, want[i])
			}
		}
	}
}

func TestValueMatch(t *testing.T) {
	values := []script.Value{
		{}, {Kind: script.Exact, Lo: 5}, {Kind: script.AnyValue}, {Kind: script.Between, Lo: 4, Hi: 6}, {Kind: script.Computed},
	}
	for n, want := range map[uint32][]bool{
		3: {true, false, true, false, false},
		4: {true, false, true, true, false},
		5: {true, true, true, true, false},
		6: {true, false, true, true, false},
		7: {true, false, true, false, false},
	} {
		for i, v := range values {
			if got := v.Match(n); got != want[i] {
				t.Errorf("%+v matches %d: %v", v, n, got)
			}
		}
	}
}

// Flags stand at their bits of the header.
func TestFlags(t *testing.T) {
	for f, want := range map[script.TCPFlags]string{
		0: "-", 0x01: "F", 0x02: "S", 0x04: "R", 0x08: "P", 0x10: ".", 0x20: "U", 0x40: "E", 0x80: "W", 0x100: "A",
		0x12: "S.", 0x11: "F.", 0x1ff: "SEWAFRPU.",
	} {
		if f.String() != want {
			t.Errorf("%#x is %s, want %s", uint16(f), f, want)
		}
	}
}

func TestShellCommands(t *testing.T) {
	for text, want := range map[string][][]string{
		"":                          nil,
		" \n;;&& ":                  nil,
		"a b\nc":                    {{"a", "b"}, {"c"}},
		"a;b&&c||d|e&":              {{"a"}, {"b"}, {"c"}, {"d"}, {"e"}},
		`a="b c"'d e' ""`:           {{"a=b cd e", ""}},
		`a \"b\ c "\$x \y" '\z'`:    {{"a", `"b c`, `$x \y`, `\z`}},
		"a \\\n b # c; d\ne#f":      {{"a", "b"}, {"e#f"}},
		`"not closed`:               {{"not closed"}},
		"x\\":                       {{"x"}},
		"sysctl -q a.b=\"1 2 3\"\t": {{"sysctl", "-q", "a.b=1 2 3"}},
	} {
		if got := (&script.Shell{Text: text}).Commands(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Inspect finds every node there is, as reflection does.
func TestInspectIsComplete(t *testing.T) {
	for file, src := range ownScripts(t) {
		s := parse(t, file, src)
		got := make(map[reflect.Type]int)
		s.Inspect(func(n script.Node) bool {
			got[reflect.TypeOf(n)]++
			if script.Format(n) == "" {
				t.Errorf("%s:%v: a %T is nothing in print", file, n.At(), n)
			}
			return true
		})
		want := make(map[reflect.Type]int)
		for _, part := range []any{s.Options, s.Params, s.Hosts, s.Links, s.Conns, s.Events} {
			countNodes(reflect.ValueOf(part), want)
		}
		for typ, n := range want {
			if got[typ] != n {
				t.Errorf("%s: %d of %v, want %d", file, got[typ], typ, n)
			}
		}
	}
}

func countNodes(v reflect.Value, count map[reflect.Type]int) {
	switch v.Kind() {
	case reflect.Interface:
		countNodes(v.Elem(), count)
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if _, ok := v.Interface().(script.Node); ok {
			count[v.Type()]++
		}
		countNodes(v.Elem(), count)
	case reflect.Slice:
		for i := range v.Len() {
			countNodes(v.Index(i), count)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				countNodes(v.Field(i), count)
			}
		}
	default:
	}
}

func TestInspectStops(t *testing.T) {
	n := 0
	s := parse(t, "x", "for N in 1..3 {\n+0 close(3) = 0\n}\n0 close(3) = 0")
	s.Inspect(func(script.Node) bool { n++; return false })
	if n != 2 {
		t.Errorf("%d nodes seen, want the 2 events alone", n)
	}
}
