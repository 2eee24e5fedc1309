package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapstack/drill"
)

// result is one of a made-up run.
func result(script, mode string, outcome drill.Outcome, reason string) Result {
	return Result{script, mode, &drill.Result{Outcome: outcome, Reason: reason}}
}

// inAllModes are the results of a script that does the same in every mode.
func inAllModes(script string, outcome drill.Outcome, reason string) (rs []Result) {
	for _, m := range Modes {
		rs = append(rs, result(script, m, outcome, reason))
	}
	return rs
}

// checkLines demands one line for each of want, with its words in it.
func checkLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i, w := range want {
		if !strings.Contains(got[i], w) {
			t.Errorf("no %q in %q", w, got[i])
		}
	}
}

func TestCompare(t *testing.T) {
	pass := Tally(inAllModes("a/x.pkt", drill.Pass, ""))
	fail := Tally(inAllModes("a/x.pkt", drill.Fail, "why"))
	one := Tally([]Result{result("a/x.pkt", "psh", drill.Unsupported, "why")})
	a := []string{"a"}
	checkLines(t, Compare(pass, pass, a, Modes))
	checkLines(t, Compare(fail, fail, a, Modes))
	checkLines(t, Compare(pass, one, a, Modes), "a/x.pkt (psh): unsupported, and pass was expected")
	checkLines(t, Compare(one, pass, a, Modes), "a/x.pkt (psh): pass, and unsupported was expected")
	checkLines(t, Compare(pass, fail, a, []string{"strict"}), "a/x.pkt (strict): fail, and pass was expected")
	checkLines(t, Compare(Outcomes{}, pass, a, Modes), "a/x.pkt: nothing is expected of it")
	checkLines(t, Compare(pass, Outcomes{}, a, Modes), "a/x.pkt: expected, and not there")
	checkLines(t, Compare(pass, Outcomes{}, []string{"b"}, Modes)) // a suite that is not here
}

func TestOutcomesInFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "expected.json")
	want := Tally(append(inAllModes("a/b/x.pkt", drill.Pass, ""), result("tapstack/y.pkt", "early", drill.Fail, "why")))
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadOutcomes(path)
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, Compare(want, got, []string{"a", Own}, Modes))
	if got.In("tapstack/y.pkt", "early") != "fail" || got.In("tapstack/y.pkt", "psh") != "pass" || len(got) != 2 {
		t.Errorf("%v", got)
	}
	if s := got.Suites(); !slices.Equal(s, []string{Own, "a"}) {
		t.Errorf("suites %v", s)
	}
}

const head = "title = 't'\nwhy = 'w'\nsource = 's'\nmatch = 'no .*'\n"

// reasons reads reasons of text.
func reasons(t *testing.T, text string) (*Reasons, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reasons.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ReadReasons(path)
}

func TestReasons(t *testing.T) {
	const lacks = "[[reason]]\n" + head + "group = 'netstack lacks'\nscripts = ['a/x*.pkt']\n"
	fail, pass := inAllModes("a/x1.pkt", drill.Fail, "no packet"), inAllModes("a/x2.pkt", drill.Pass, "")
	for _, c := range []struct {
		name, text string
		results    []Result
		want       []string
	}{
		{"explained", lacks, fail, nil},
		{"not explained", "", fail[:1], []string{"a/x1.pkt (strict): fail, and no reason is known: ours to fix"}},
		{"explained in other modes", lacks + "modes = ['psh']\n", fail[:2], []string{"(strict): fail, and no reason is known"}},
		{"passes though explained", lacks + "modes = ['early']\n", pass, []string{`a/x2.pkt (early): passes, though "t"`}},
		{"ours", strings.Replace(lacks, Lacks, OursToFix, 1) + "modes = ['strict']\n", fail[:1], []string{"ours to fix: t"}},
		{"another group", lacks + "modes = ['strict']\n", []Result{result("a/x.pkt", "strict", drill.Unsupported, "no x")}, []string{`in the group "netstack lacks"`}},
		{"of nothing", strings.Replace(lacks, "a/x*", "a/z", 1), pass, []string{"there is no script a/z.pkt"}},
		{"of what is not here", strings.Replace(lacks, "a/x*", "b/z", 1), pass, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs, err := reasons(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, rs.Unexplained(Tally(c.results), []string{"a"}), c.want...)
		})
	}
	rs, err := reasons(t, lacks)
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, rs.Mismatches(fail))
	checkLines(t, rs.Mismatches([]Result{result("a/x.pkt", "psh", drill.Fail, "by no means")}), "by no means")
}

func TestReasonsRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[[reason]]\n" + head + "group = 'bad luck'\nscripts = ['x']", `group "bad luck"`},
		{"[[reason]]\n" + head + "group = 'unsupported'", "are needed"},
		{"[[reason]]\n" + head + "group = 'unsupported'\nscripts = ['x']\nmodes = ['loose']", `mode "loose"`},
		{"[[reason]]\n" + head + "group = 'unsupported'\nscripts = ['[']", "syntax error in pattern"},
		{"[[reason]]\n" + strings.Replace(head, "no .*", "(", 1) + "group = 'unsupported'\nscripts = ['x']", "missing closing"},
		{"[[reason]]\ncolour = 'red'", "unknown key"},
		{"[", "reasons.toml"},
	} {
		if _, err := reasons(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q in it", c.text, err, c.want)
		}
	}
}

func TestSuites(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"freebsd", "gvisor"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Suites("own", dir)
	if err != nil || len(all) != 3 || all[1].Profile != drill.FreeBSD || all[2].Profile != drill.Linux {
		t.Errorf("%v, %v", all, err)
	}
	if all, err = Suites("own", ""); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "plan9"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err = Suites("own", dir); err == nil || !strings.Contains(err.Error(), "plan9") {
		t.Errorf("%v", err)
	}
}

// TestSettings: what a script needs and does not say is in force for it alone.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	const src = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n" +
		"+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n+0 > S 0:0(0) <mss 1460,nop,nop,TS val 1 ecr 0,nop,wscale 8>\n"
	for _, name := range []string{"with.pkt", "without.pkt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &Suite{Name: "a", Dir: dir}
	rs, err := s.Run(t.Context(), "strict", []Setting{{Scripts: []string{"a/with.pkt"}, Sysctls: []string{"net.ipv4.tcp_sack=0"}}})
	if err != nil {
		t.Fatal(err)
	}
	o := Tally(rs)
	if o.In("a/with.pkt", "strict") != "pass" || o.In("a/without.pkt", "strict") != "fail" {
		t.Errorf("%v: %v", o, rs[0].Result)
	}
	if _, err := s.Run(t.Context(), "loose", nil); err == nil {
		t.Error("a mode that there is not")
	}
}
