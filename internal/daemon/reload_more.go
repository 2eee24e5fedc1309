package daemon

import "log/slog"

// planSurroundings compares the sections [process], [log] and [metrics]. What
// the process is was settled when its privileges were dropped.
func (h *instance) planSurroundings(p *plan, next *Config) {
	was, is := h.cfg, p.result
	for _, c := range []struct {
		key     string
		differs bool
	}{
		{"process.user", was.Process.User != next.Process.User},
		{"process.group", was.Process.Group != next.Process.Group},
		{"process.seccomp", was.Process.Seccomp != next.Process.Seccomp},
		{"process.landlock", was.Process.Landlock != next.Process.Landlock},
		{"log.format", was.Log.Format != next.Log.Format},
	} {
		if c.differs {
			p.restart = append(p.restart, c.key)
		}
	}
	drain := next.Process.Drain
	is.Process, is.Log.Format = was.Process, was.Log.Format
	is.Process.Drain = drain // looked up when it is time to
	if was.Log.Level != next.Log.Level {
		set := func(l slog.Level) func() error { return func() error { h.events.SetLevel(l); return nil } }
		p.add("log.level", set(next.Log.Level), set(h.events.Level()))
	}
	if from, to := was.Metrics.Listen, next.Metrics.Listen; from != to {
		p.add("metrics.listen", func() error { return h.metricsHTTP.move(to) }, func() error { return h.metricsHTTP.move(from) })
	}
}
