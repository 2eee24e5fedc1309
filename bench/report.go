package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// report is everything that a run has found.
type report struct {
	facts    []fact
	results  []*result
	failures []string
}

// fact is a line about the machine or the run.
type fact struct{ name, text string }

// section is a part of the report, "" for the headline.
type section string

const (
	relayed   section = "Through forwards and proxies"
	otherwise section = "Under other conditions"
)

// result is one workload on all targets. The numbers are medians of Runs; nil
// says that there is none: what failed is listed.
type result struct {
	Workload string               `json:"workload"`
	Unit     string               `json:"unit"`
	Better   string               `json:"better"` // "higher" or "lower"
	Tapstack *float64             `json:"tapstack"`
	Kernel   *float64             `json:"kernel"`
	Plain    *float64             `json:"plain"`
	Slirp    *float64             `json:"slirp4netns,omitempty"` // of relayed alone
	Runs     map[string][]float64 `json:"runs"`                  // by target, in order

	title   string // for people
	section section
	beside  string // the workload without a relay
}

// add records one measurement of a workload that the run asked for.
func (r *report) add(workload, target string, value float64) {
	i := slices.IndexFunc(r.results, func(x *result) bool { return x.Workload == workload })
	if i < 0 {
		return
	}
	x := r.results[i]
	x.Runs[target] = append(x.Runs[target], round(value))
	mid := round(median(x.Runs[target]))
	switch target {
	case "tapstack":
		x.Tapstack = &mid
	case "kernel":
		x.Kernel = &mid
	case "plain":
		x.Plain = &mid
	case slirpName:
		x.Slirp = &mid
	}
}

// setFact adds a fact once.
func (r *report) setFact(name, text string) {
	f := fact{name, text}
	if !slices.Contains(r.facts, f) {
		r.facts = append(r.facts, f)
	}
}

func (r *report) fail(text string) { r.failures = append(r.failures, text) }

// json is the list that programs read.
func (r *report) json() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	list := r.results
	if list == nil {
		list = []*result{} // [] and not null
	}
	err := enc.Encode(list)
	return b.Bytes(), err
}

// markdown is the same for people.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# tapstack beside the kernel and the naive way\n\n")
	for _, f := range r.facts {
		fmt.Fprintf(&b, "- %s: %s\n", f.name, f.text)
	}
	b.WriteString("\nMedians, in parentheses the smallest and the largest. In (rx) is toward the system under test, out (tx) away from it.\n")
	for _, part := range []section{"", relayed, otherwise} {
		rows := slices.DeleteFunc(slices.Clone(r.results), func(x *result) bool { return x.section != part })
		if len(rows) == 0 {
			continue
		}
		if part != "" {
			fmt.Fprintf(&b, "\n## %s\n", part)
		}
		if part == relayed {
			r.relayedTable(&b, rows)
			continue
		}
		b.WriteString("\n| workload | unit | better | tapstack | kernel | plain | tapstack/kernel | tapstack/plain |\n")
		b.WriteString("|---|---|---|---:|---:|---:|---:|---:|\n")
		for _, x := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", x.Workload, x.Unit, x.Better,
				x.cell("tapstack"), x.cell("kernel"), x.cell("plain"), ratio(x.Tapstack, x.Kernel), ratio(x.Tapstack, x.Plain))
		}
	}
	if len(r.failures) > 0 {
		b.WriteString("\n## What failed\n\n")
		for _, f := range r.failures {
			first, _, _ := strings.Cut(f, "\n")
			fmt.Fprintf(&b, "- %s\n", first)
		}
	}
	return b.String()
}

// relayedTable has one target more, and beside tapstack's number what the same
// bytes took without the relay.
func (r *report) relayedTable(b *strings.Builder, rows []*result) {
	b.WriteString("\nThe kernel's and plain's forward is io.Copy both ways, splice(2) for the kernel.\n")
	b.WriteString("\n| workload | unit | better | tapstack | kernel | plain | slirp4netns | tapstack/kernel | tapstack/slirp4netns | without |\n")
	b.WriteString("|---|---|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, x := range rows {
		without := ""
		i := slices.IndexFunc(r.results, func(y *result) bool { return y.Workload == x.beside })
		if i >= 0 && x.beside != "" {
			if of := ratio(x.Tapstack, r.results[i].Tapstack); of != "" {
				without = of + " of " + x.beside
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", x.Workload, x.Unit, x.Better,
			x.cell("tapstack"), x.cell("kernel"), x.cell("plain"), x.cell(slirpName),
			ratio(x.Tapstack, x.Kernel), ratio(x.Tapstack, x.Slirp), without)
	}
}

// cell is a target's median with its spread.
func (x *result) cell(target string) string {
	runs := x.Runs[target]
	switch len(runs) {
	case 0:
		return "none"
	case 1:
		return number(runs[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(runs)), number(slices.Min(runs)), number(slices.Max(runs)))
}

func ratio(a, b *float64) string {
	if a == nil || b == nil || *b == 0 {
		return ""
	}
	return number(*a / *b) + "x"
}

// round keeps four significant digits: more than any measurement is good for.
func round(v float64) float64 {
	out, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64) // of our own text
	return out
}

// number prints three significant digits, in groups of three: 0.734, 41.2,
// 16,900.
func number(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	if math.Abs(v) < 1000 {
		decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
		return strconv.FormatFloat(v, 'f', min(decimals, 4), 64)
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// failuresFile has what a failed process had to say, goroutines included.
const failuresFile = "failures.txt"

// writeFiles writes bench.json, bench.md and bench.svg, and the failures
// if there are any.
func (r *report) writeFiles(dir string) error {
	data, err := r.json()
	if err != nil {
		return err
	}
	write := func(name string, data []byte) error {
		return os.WriteFile(filepath.Join(dir, name), data, 0o666)
	}
	err = errors.Join(
		write("bench.json", data),
		write("bench.md", []byte(r.markdown())),
		write("bench.svg", r.svg()),
	)
	failures := filepath.Join(dir, failuresFile)
	if len(r.failures) == 0 {
		_ = os.Remove(failures) // an earlier run's
		return err
	}
	return errors.Join(err, write(failuresFile, []byte(strings.Join(r.failures, "\n\n")+"\n")))
}
