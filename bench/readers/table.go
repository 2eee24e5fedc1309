//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The columns of the table.
const (
	largeRate = iota
	largeFrames
	largeCPU
	smallFrames
	smallCPU
	rtt50
	rtt99
	rttCPU
	idleCPU
	stopTime
	numColumns
)

var columns = [numColumns]struct {
	name   string
	digits int
}{
	largeRate:   {"large, Gbit/s", 1},
	largeFrames: {"large, k frames/s", 0},
	largeCPU:    {"large, CPU %", 0},
	smallFrames: {"small, k frames/s", 0},
	smallCPU:    {"small, CPU %", 0},
	rtt50:       {"rtt p50, us", 1},
	rtt99:       {"rtt p99, us", 1},
	rttCPU:      {"rtt, CPU %", 0},
	idleCPU:     {"idle, CPU %", 2},
	stopTime:    {"stop, us", 0},
}

// table prints medians as Markdown.
func table(results []*result) string {
	var text strings.Builder
	head, line := "| reader | cores |", "|---|---|"
	for _, c := range columns {
		head += " " + c.name + " |"
		line += "---:|"
	}
	fmt.Fprintf(&text, "%s\n%s\n", head, line)
	for _, r := range results {
		cores := "any"
		if r.pinned {
			cores = "one each"
		}
		fmt.Fprintf(&text, "| %s | %s |", r.way, cores)
		for i, c := range columns {
			fmt.Fprintf(&text, " %.*f |", c.digits, r.median(i))
		}
		text.WriteString("\n")
	}
	return text.String()
}

// median of a column: the middle value, or the mean of the middle two.
func (r *result) median(column int) float64 {
	n := len(r.rounds)
	if n == 0 {
		return math.NaN()
	}
	v := make([]float64, n)
	for i, f := range r.rounds {
		v[i] = f[column]
	}
	slices.Sort(v)
	return (v[n/2] + v[(n-1)/2]) / 2
}
