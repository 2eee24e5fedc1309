package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// WriteText writes the failures, each with what was expected and what came, and
// what is not supported; with verbose every script, how long it took and what
// it printed; and the totals of each folder.
func (r *Report) WriteText(w io.Writer, verbose bool) error {
	for _, res := range r.Results {
		switch {
		case res.Outcome != Pass:
			fmt.Fprintln(w, res)
		case verbose:
			fmt.Fprintf(w, "%s, %v in %v\n", res, res.Virtual.Round(time.Millisecond), res.Wall.Round(10*time.Microsecond))
		}
		if verbose && res.Output != "" {
			fmt.Fprint(w, res.Output)
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "pass\tfail\tunsupported\t\n")
	folders := make(map[string]*[3]int)
	var names []string
	for _, res := range r.Results {
		dir := filepath.Dir(res.Path)
		if folders[dir] == nil {
			folders[dir] = new([3]int)
			names = append(names, dir)
		}
		folders[dir][res.Outcome]++
	}
	slices.Sort(names)
	row := func(n [3]int, name string) {
		fmt.Fprintf(tw, "%d\t%d\t%d\t  %s\n", n[Pass], n[Fail], n[Unsupported], name)
	}
	if len(names) > 1 {
		for _, name := range names {
			row(*folders[name], name)
		}
	}
	row([3]int{r.Count(Pass), r.Count(Fail), r.Count(Unsupported)}, fmt.Sprintf("of %d, in %.1f s", len(r.Results), r.Wall.Seconds()))
	return tw.Flush()
}

// MarshalJSON implements json.Marshaler:
//
//	{"total","pass","fail","unsupported","scripts":[{"path","result","line","reason","ms"}]}
//
// line is 0 and reason "" for a script that passed, ms what it took of real
// time.
func (r *Report) MarshalJSON() ([]byte, error) {
	type row struct {
		Path   string  `json:"path"`
		Result string  `json:"result"`
		Line   int     `json:"line"`
		Reason string  `json:"reason"`
		Ms     float64 `json:"ms"`
	}
	rows := make([]row, len(r.Results))
	for i, res := range r.Results {
		ms := float64(res.Wall.Round(time.Microsecond)) / float64(time.Millisecond)
		rows[i] = row{res.Path, res.Outcome.String(), res.Line, res.Reason, ms}
	}
	return json.Marshal(struct {
		Total       int   `json:"total"`
		Pass        int   `json:"pass"`
		Fail        int   `json:"fail"`
		Unsupported int   `json:"unsupported"`
		Scripts     []row `json:"scripts"`
	}{len(rows), r.Count(Pass), r.Count(Fail), r.Count(Unsupported), rows})
}
