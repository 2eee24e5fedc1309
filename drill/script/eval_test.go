package script_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"tapstack/drill/script"
)

var errUnknown = errors.New("no such name")

// names are what the expressions of these tests can refer to.
func names(x script.Expr, args []any) (any, error) {
	switch x := x.(type) {
	case *script.Name:
		if v, ok := map[string]any{"n": int64(3), "rtt": int64(100_000), "s": "established", "half": .5}[x.Name]; ok {
			return v, nil
		}
	case *script.Select:
		if script.Format(x) == "client.tcpi_rtt" {
			return int64(7), nil
		}
	case *script.Apply:
		if script.Format(x.Func) == "abs" && len(args) == 1 {
			return int64(math.Abs(float64(args[0].(int64)))), nil
		}
	}
	return nil, errUnknown
}

// value returns the tree of an expression of code.
func value(t *testing.T, expr string) script.Expr {
	t.Helper()
	s, err := script.Parse("x", "%{ x = "+expr+" }%", nil)
	if err != nil {
		t.Fatal(detail(err))
	}
	return s.Events[0].Action.(*script.Code).Stmts[0].(*script.Assign).Value
}

// The results are Python's.
func TestEval(t *testing.T) {
	for expr, want := range map[string]string{
		"1 + 2 * 3 - 4":                         "3",
		"7 / 2":                                 "3.5",
		"6 / 2":                                 "3.0",
		"-7 // 2":                               "-4",
		"7 // -2":                               "-4",
		"-7 // -2":                              "3",
		"-7 % 3":                                "2",
		"7 % -3":                                "-2",
		"-6 % 3":                                "0",
		"-7.5 // 2":                             "-4.0",
		"-7.5 % 2":                              "0.5",
		"7.5 % -2":                              "-0.5",
		"1 << 62":                               "4611686018427387904",
		"-1 << 63":                              "-9223372036854775808",
		"-5 >> 1":                               "-3",
		"-5 >> 100":                             "-1",
		"0 << 100":                              "0",
		"6 & 3 | 8 ^ 1":                         "11",
		"~5":                                    "-6",
		"-n":                                    "-3",
		"True + True":                           "2",
		"not n":                                 "False",
		"not ''":                                "True",
		"0 or 'x'":                              "x",
		"n and 0":                               "0",
		"n or nothing":                          "3",
		"0 and nothing":                         "0",
		"1 < 2 < 3":                             "True",
		"1 < 3 < 3":                             "False",
		"3 < 2 < nothing":                       "False",
		"1 == 1.0":                              "True",
		"1 == '1'":                              "False",
		"True == 1":                             "True",
		"9007199254740993 == 9007199254740992":  "False",
		"n in [1, 2, 3]":                        "True",
		"n not in (1, 2)":                       "True",
		"'stab' in s":                           "True",
		"'a' < 'b'":                             "True",
		"[1, 2] == [1, 2.0]":                    "True",
		"[1] == [1, 2]":                         "False",
		"[1] != 1":                              "True",
		"0.95 * rtt <= rtt <= 1.05 * rtt":       "True",
		"95*1000 <= rtt and rtt <= 105*1000":    "True",
		"abs(-4) + client.tcpi_rtt":             "11",
		"'a' + 'b'":                             "ab",
		"'%d of %s' % (n, s)":                   "3 of established",
		"'%5.2f|%-4d|%04x|%%' % (half, n, 255)": " 0.50|3   |00ff|%",
		"'%s %r' % (1 == 1, [1, 2.5])":          "True [1, 2.5]",
		"'%d' % half":                           "0",
		"'%i' % True":                           "1",
		"-9223372036854775808 // 1":             "-9223372036854775808",
		"-9223372036854775808 * 1":              "-9223372036854775808",
		"4294967296 * 2147483647":               "9223372032559808512",
		"-9223372036854775807 - 1":              "-9223372036854775808",
	} {
		v, err := script.Eval(value(t, expr), names)
		if err != nil || script.Show(v) != want {
			t.Errorf("%s: %v, %v; want %s", expr, v, err, want)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	for expr, want := range map[string]string{
		"nothing":                        "1:8: no such name",
		"1 + nothing":                    "1:12: no such name",
		"other.tcpi_rtt":                 "1:13: no such name",
		"1 // 0":                         "1:10: division by zero",
		"1 % 0":                          "1:10: division by zero",
		"1 / 0":                          "1:10: division by zero",
		"1.5 / 0":                        "1:12: division by zero",
		"9223372036854775807 + 1":        "1:28: number does not fit 64 bits",
		"-9223372036854775807 - 2":       "1:29: number does not fit 64 bits",
		"4294967296 * 2147483648":        "1:19: number does not fit 64 bits",
		"-(-9223372036854775807-1)":      "1:8: number does not fit 64 bits",
		"(-9223372036854775807-1) // -1": "1:33: number does not fit 64 bits",
		"1 << 63":                        "1:10: number does not fit 64 bits",
		"1 << 64":                        "1:10: number does not fit 64 bits",
		"1 << -1":                        "1:10: shift by a negative number",
		"0xffffffffffffffff":             "1:8: number does not fit 64 bits",
		"1 < 'a'":                        "1:10: no < of 1 and a",
		"1 in 2":                         "1:10: 1 cannot be in 2",
		"1.5 | 2":                        "1:12: no | of numbers that are not integers",
		"'a' - 'b'":                      "1:12: no - of a and b",
		"~1.5":                           "1:8: no ~ of 1.5",
		"-'a'":                           "1:8: no - of a",
		"...":                            "1:8: this has no value",
		"[1, *]":                         "1:12: this has no value",
		"'%d' % 'a'":                     "1:13: %d cannot write a",
		"'%d %d' % 1":                    "1:16: this format wants more values than there are",
		"'%d' % (1, 2)":                  "1:13: this format wants fewer values than there are",
		"'%y' % 1":                       "1:13: no verb %y in formats",
		"'%1000d' % 1":                   "1:17: a width of 1000 is too much",
		"'%5' % 1":                       "1:13: this format ends in the middle of a verb",
	} {
		v, err := script.Eval(value(t, expr), names)
		var e *script.EvalError
		if !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%s: %v, %v; want %s", expr, v, err, want)
		}
	}
	if _, err := script.Eval(value(t, "nothing"), names); !errors.Is(err, errUnknown) {
		t.Error("Lookup's error is lost:", err)
	}
	if _, err := script.Eval(value(t, "..."), names); !errors.Is(err, script.ErrNotComputable) {
		t.Error("not ErrNotComputable:", err)
	}
}

func TestTruth(t *testing.T) {
	for _, v := range []any{true, int64(1), -.5, "x", []any{int64(0)}} {
		if !script.Truth(v) {
			t.Errorf("%#v is false", v)
		}
	}
	for _, v := range []any{false, int64(0), 0., "", []any{}, nil} {
		if script.Truth(v) {
			t.Errorf("%#v is true", v)
		}
	}
}

func TestResolve(t *testing.T) {
	tcp := only(t, "0 < . $n:${n * 1000}(${n - 4}) ack ${half} win 1~2 urg ${n << 31}").Action.(*script.Packet).Body.(*script.TCP)
	for _, c := range []struct {
		v, want script.Value
		err     string
	}{
		{v: tcp.Seq, want: exact(3)},
		{v: tcp.End, want: exact(3000)},
		{v: tcp.Len, err: "-1 does not fit 32 bits"},
		{v: tcp.Ack, err: "expected an integer, found 0.5"},
		{v: tcp.Win, want: tcp.Win},
		{v: tcp.Urg, err: "6442450944 does not fit 32 bits"},
	} {
		got, err := c.v.Resolve(names)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.HasSuffix(err.Error(), c.err) {
			t.Errorf("%v: %+v, %v; want %+v %s", c.v, got, err, c.want, c.err)
		}
	}
}

func TestBounds(t *testing.T) {
	for src, want := range map[string]any{
		"5":                [3]int64{5, 5, 1},
		"1..10":            [3]int64{1, 10, 1},
		"n..2*n step -1-n": [3]int64{3, 6, -4},
		"1..2 step 0":      "a step of 0 goes nowhere",
		"1..nothing":       "no such name",
		"half":             "expected an integer, found 0.5",
		"1..2 step half":   "expected an integer, found 0.5",
	} {
		f := only(t, "for N in "+src+" { }").Action.(*script.For)
		from, to, step, err := f.Values[0].Bounds(names)
		var got any = [3]int64{from, to, step}
		if err != nil {
			_, got, _ = strings.Cut(err.Error(), ": ")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", src, got, want)
		}
	}
}
