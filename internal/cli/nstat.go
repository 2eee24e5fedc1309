package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// Nstat are the arguments of tapstack nstat.
type Nstat struct {
	Zeros    bool          // print counters that are 0 too
	Interval time.Duration // 0: once, since the stack was made; otherwise what has changed in each interval
	Count    int           // how many intervals; 0 is until ctx is done
	Patterns []string      // names, with * and ?; none is all
	JSON     func(any) error
}

// Run prints counters.
func (o *Nstat) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	for _, p := range o.Patterns {
		if _, err := path.Match(p, ""); err != nil {
			return usagef("nstat: pattern %q: %w", p, err)
		}
	}
	if o.Interval == 0 {
		st, err := c.Stats(ctx)
		if err != nil {
			return err
		}
		return o.show(w, nil, &st, 0)
	}
	var before *api.Stats
	n := 0
	var at time.Time
	err := c.Watch(ctx, &api.WatchQuery{Interval: o.Interval}, func(st *api.Stats) error {
		// By our own clock, which nobody sets, unlike that of st.Time.
		now := time.Now()
		elapsed := now.Sub(at)
		at = now
		if before != nil {
			if err := o.show(w, before, st, elapsed); err != nil {
				return err
			}
			if n++; n == o.Count {
				return io.EOF
			}
		}
		before = st
		return nil
	})
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// show prints the counters of st, less what they were an interval before; nil
// is nothing.
func (o *Nstat) show(w io.Writer, before, st *api.Stats, interval time.Duration) error {
	was := make(map[string]uint64)
	if before != nil {
		for _, c := range before.Counters {
			was[c.Name] = c.Value
		}
	}
	values := make(map[string]uint64)
	for _, c := range st.Counters {
		v := c.Value
		if !c.Gauge {
			v -= was[c.Name]
		}
		if v == 0 && !o.Zeros || !o.wants(c.Name) {
			continue
		}
		if o.JSON != nil {
			values[c.Name] = v
			continue
		}
		rate := "0.0"
		if interval > 0 && !c.Gauge {
			rate = fmt.Sprintf("%.1f", float64(v)/interval.Seconds())
		}
		fmt.Fprintf(w, "%-32s%-16d%s\n", c.Name, v, rate)
	}
	if o.JSON != nil {
		return o.JSON(values)
	}
	if before != nil {
		fmt.Fprintln(w)
	}
	return nil
}

func (o *Nstat) wants(name string) bool {
	for _, p := range o.Patterns {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return len(o.Patterns) == 0
}
