package script_test

import (
	"testing"

	"tapstack/drill/script"
)

func TestDefines(t *testing.T) {
	const src = `--mtu=SIZE
-DSIZE=1000 // bytes
--define NAME=close
#define HALF (SIZE/2)
#define TEXT "SIZE // not a comment"
0 NAME(HALF) = SIZE
+0 f(TEXT, "SIZE", SIZEx, xSIZE, $SIZE) = 0
+0 %{ assert SIZE == 'SIZE' # SIZE
}%
+0 ` + "`SIZE`" + `
+0 > S SIZE:FROM_OUTSIDE(0) <FO COOKIE> /* SIZE */
#undef SIZE
+0 f(SIZE) = 0
`
	s, err := script.Parse("x", src, &script.Config{Defines: map[string]string{"FROM_OUTSIDE": "7", "COOKIE": "3021b9d8"}})
	if err != nil {
		t.Fatal(detail(err))
	}
	const want = `--mtu=SIZE
0 close(1000 / 2) = 1000
+0 f("SIZE // not a comment", "SIZE", SIZEx, xSIZE, SIZE) = 0
+0 %{ assert 1000 == "SIZE" }%
+0 ` + "`SIZE`" + `
+0 > S 1000:7(0) <FO 3021b9d8>
+0 f(SIZE) = 0
`
	if got := script.Print(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConditions(t *testing.T) {
	const src = `
#ifdef A
0 a() = 0
 #ifdef B
0 ab() = 0
  #else
0 a_not_b() = 0
#endif
#else
0 not_a() = 0
#ifndef B
0 neither() = 0
#endif // B
#endif
#ifndef A
#else
0 a_again() = 0
#endif
0 end() = 0
`
	for _, c := range []struct {
		defines map[string]string
		want    string
	}{
		{nil, "0 not_a() = 0\n0 neither() = 0\n0 end() = 0\n"},
		{map[string]string{"A": ""}, "0 a() = 0\n0 a_not_b() = 0\n0 a_again() = 0\n0 end() = 0\n"},
		{map[string]string{"B": "1"}, "0 not_a() = 0\n0 end() = 0\n"},
		{map[string]string{"A": "", "B": ""}, "0 a() = 0\n0 ab() = 0\n0 a_again() = 0\n0 end() = 0\n"},
	} {
		s, err := script.Parse("x", src, &script.Config{Defines: c.defines})
		if err != nil {
			t.Errorf("%v: %s", c.defines, detail(err))
			continue
		}
		if got := script.Print(s); got != c.want {
			t.Errorf("%v: got\n%s\nwant\n%s", c.defines, got, c.want)
		}
	}
}

// What preprocessing takes away or puts in does not move what remains.
func TestPlaces(t *testing.T) {
	const src = "\ufeff#!/usr/bin/env drill\r\n" +
		"#define N 123456789\r\n" +
		"#ifdef X\n" +
		"0 skipped(\n" +
		"#endif\n" +
		"/* two\n" +
		"lines */ 0 f(N, N) = N +1 g() = 0\n" +
		"\t+1 `x`\n"
	s := parse(t, "x", src)
	for i, want := range []script.Pos{{Line: 7, Col: 10}, {Line: 7, Col: 24}, {Line: 8, Col: 2}} {
		if got := s.Events[i].Pos; got != want {
			t.Errorf("event %d is at %v, want %v", i, got, want)
		}
	}
	for i, col := range []int32{14, 17} {
		if got, want := s.Events[0].Action.(*script.Call).Args[i].At(), (script.Pos{Line: 7, Col: col}); got != want {
			t.Errorf("argument %d is at %v, want %v", i, got, want)
		}
	}
	for line, want := range map[int]string{0: "", 2: "#define N 123456789", 4: "0 skipped(", 8: "\t+1 `x`", 9: "", 10: ""} {
		if got := s.Source(line); got != want {
			t.Errorf("line %d is %q, want %q", line, got, want)
		}
	}
}
