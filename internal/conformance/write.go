package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"tapstack/drill"
)

// Times are how long it took to run everything there is.
type Times struct {
	Scripts int // how many, in strict mode
	CPUs    int
	All     time.Duration // until the last has ended, as many at a time as there are CPUs
	Median  time.Duration // of a script's wall time
	Slowest time.Duration
	Repeats int   // identical results, for each of
	MaxProc []int // these values of GOMAXPROCS
}

// ReadTimes reads what WriteFile wrote.
func ReadTimes(path string) (t Times, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return t, err
}

// WriteFile writes the times.
func (t *Times) WriteFile(path string) error {
	b, err := json.MarshalIndent(t, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Write makes RESULTS.md of what is known. It depends on nothing else, so that
// it can be written, and checked, without other people's scripts.
func Write(o Outcomes, rs *Reasons, musts []*Requirement, t *Times) []byte {
	w := new(bytes.Buffer)
	fmt.Fprint(w, `# Conformance

Written by "make conformance"; not by hand. Packet scripts, ours (testdata/drill)
and those of three public suites, run in virtual time against the sockets of
package socketapi. The suites are FreeBSD's TCP tests (the profile freebsd), an
older one for FreeBSD 11 (shivansh, likewise) and gVisor's.

`)
	writeSummary(w, o, rs)
	fmt.Fprint(w, `A script passes, fails, or asks for something unsupported; nothing is skipped. A
failure is that of the first line which is not as written: what comes after it
was not judged.

Modes take one liberty each: psh (that flag does not count), optorder (options
in any order), extra-ack (pure ACKs are passed over), early (before its time).
strict-end is stricter: nothing may be left at the end.

`)
	writeScores(w, o)
	writeReasons(w, o, rs)
	writeTimes(w, t)
	writeMusts(w, musts)
	return w.Bytes()
}

// writeSummary is all of it in a few lines, for those who read no more.
func writeSummary(w *bytes.Buffer, o Outcomes, rs *Reasons) {
	strict := Modes[0]
	pass := make(map[bool]int) // ours, and not ours
	all := make(map[bool]int)
	why := make(map[string]int)
	for _, script := range o.Scripts("") {
		ours := suiteOf(script) == Own
		all[ours]++
		r := rs.Of(script, strict)
		switch {
		case o.In(script, strict) == drill.Pass.String():
			pass[ours]++
		case r != nil:
			why[r.Group]++
		default:
			why[OursToFix]++
		}
	}
	fmt.Fprintf(w, "In the mode strict %d of our %d scripts pass, and %d of %d others. Those\nthat do not:", pass[true], all[true], pass[false], all[false])
	for i, g := range Groups {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " %s %d", g, why[g])
	}
	fmt.Fprint(w, ".\n\n")
}

// writeScores is a table of folders and modes: pass/fail/unsupported.
func writeScores(w *bytes.Buffer, o Outcomes) {
	fmt.Fprint(w, "## Scores: pass / fail / unsupported\n\n| folder | scripts |")
	for _, m := range Modes {
		fmt.Fprintf(w, " %s |", m)
	}
	fmt.Fprintf(w, "\n|---|--:|%s\n", strings.Repeat("---|", len(Modes)))
	row := func(name string, scripts []string) {
		fmt.Fprintf(w, "| %s | %d |", name, len(scripts))
		for _, m := range Modes {
			n := make(map[string]int)
			for _, s := range scripts {
				n[o.In(s, m)]++
			}
			fmt.Fprintf(w, " %d / %d / %d |", n[drill.Pass.String()], n[drill.Fail.String()], n[drill.Unsupported.String()])
		}
		fmt.Fprintln(w)
	}
	for _, suite := range o.Suites() {
		folders := make(map[string][]string)
		var names []string
		all := o.Scripts(suite)
		for _, s := range all {
			f := folderOf(s)
			if folders[f] == nil {
				names = append(names, f)
			}
			folders[f] = append(folders[f], s)
		}
		row("**"+suite+"**", all)
		for _, f := range names {
			if len(names) > 1 {
				row(f, folders[f])
			}
		}
	}
	row("**all**", o.Scripts(""))
	fmt.Fprintln(w)
}

// folderOf is a suite and the first folder in it.
func folderOf(script string) string {
	parts := strings.Split(script, "/")
	return strings.Join(parts[:min(2, len(parts)-1)], "/")
}

// writeReasons is why scripts do not pass, by group and title.
func writeReasons(w *bytes.Buffer, o Outcomes, rs *Reasons) {
	fmt.Fprint(w, "Why scripts do not pass, in four groups. A group's number counts each script that\ndoes not pass for such a reason in any mode, so they are together more than those\nof one mode.\n\n")
	for _, group := range Groups {
		rows, scripts := rs.group(o, group)
		fmt.Fprintf(w, "## %s: %d scripts\n\n", strings.ToUpper(group[:1])+group[1:], scripts)
		if len(rows) == 0 {
			fmt.Fprint(w, "None.\n\n")
			continue
		}
		fmt.Fprintf(w, "| reason | %s | why | where |\n|---|%s---|---|\n", strings.Join(Modes, " | "), strings.Repeat("--:|", len(Modes)))
		for _, r := range rows {
			fmt.Fprintf(w, "| %s |", cell(r.title))
			for _, m := range Modes {
				fmt.Fprintf(w, " %d |", r.n[m])
			}
			fmt.Fprintf(w, " %s | %s |\n", cell(strings.Join(r.whys, " ")), cell(strings.Join(r.sources, "; ")))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "Which script has which reason, and what its result has to look like, is in\nreasons.toml; which script passes in which mode, in expected.json.\n\n")
}

// reasonRow is what reasons of one title say together.
type reasonRow struct {
	title         string
	n             map[string]int // scripts, by mode
	whys, sources []string
}

// group is a group's reasons, the commonest first, and of how many scripts.
func (rs *Reasons) group(o Outcomes, group string) (rows []*reasonRow, scripts int) {
	for _, script := range o.Scripts("") {
		counted := 0
		for _, mode := range Modes {
			r := rs.Of(script, mode)
			if o.In(script, mode) == drill.Pass.String() || r == nil || r.Group != group {
				continue
			}
			i := slices.IndexFunc(rows, func(row *reasonRow) bool { return row.title == r.Title })
			if i < 0 {
				i, rows = len(rows), append(rows, &reasonRow{title: r.Title, n: make(map[string]int)})
			}
			row := rows[i]
			row.n[mode]++
			if !slices.Contains(row.whys, r.Why) {
				row.whys = append(row.whys, r.Why)
			}
			if !slices.Contains(row.sources, r.Source) {
				row.sources = append(row.sources, r.Source)
			}
			counted = 1
		}
		scripts += counted
	}
	slices.SortFunc(rows, func(a, b *reasonRow) int {
		return cmp.Or(b.n[Modes[0]]-a.n[Modes[0]], strings.Compare(a.title, b.title))
	})
	return rows, scripts
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func writeTimes(w *bytes.Buffer, t *Times) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
	fmt.Fprintf(w, "## Times\n\n| | |\n|---|--:|\n| %d scripts, strict, %d CPUs | %.1f s |\n| a script, median | %s |\n| the slowest | %s |\n",
		t.Scripts, t.CPUs, t.All.Seconds(), ms(t.Median), ms(t.Slowest))
	fmt.Fprintf(w, "| identical results in a row, at GOMAXPROCS %s each | %d |\n\n", strings.Trim(strings.ReplaceAll(fmt.Sprint(t.MaxProc), " ", ", "), "[]"), t.Repeats)
}

// writeMusts is the table of RFC 9293's requirements.
func writeMusts(w *bytes.Buffer, musts []*Requirement) {
	n := make(map[string]int)
	for _, r := range musts {
		n[r.Result] += len(r.ID)
	}
	fmt.Fprintf(w, "## RFC 9293: %d met, %d partly, %d not, %d not applicable\n\n", n[Met], n[Partly], n[NotMet], n[NoCase])
	fmt.Fprint(w, "Scripts are in testdata/drill, and pass; tests are Go's, by folder.\n\n| MUST | meaning | met | shown by | note |\n|---|---|---|---|---|\n")
	for _, r := range musts {
		shown := slices.Concat(r.Scripts, r.Tests)
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", strings.TrimPrefix(r.Name(), "MUST-"), cell(r.Meaning), r.Result, strings.Join(shown, ", "), cell(r.Note))
	}
}
