package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// Set changes settings, each given as NAME=VALUE, or prints all of them if
// none is given.
func Set(ctx context.Context, c *client.Client, args []string, asJSON func(any) error, w io.Writer) error {
	if len(args) > 0 {
		s, err := parseSettings(args)
		if err != nil {
			return err
		}
		return c.Change(ctx, s)
	}
	s, err := c.Settings(ctx)
	if err != nil {
		return err
	}
	if asJSON != nil {
		return asJSON(s)
	}
	if s.LogLevel != nil {
		fmt.Fprintf(w, "log-level=%s\n", *s.LogLevel)
	}
	if s.Accounting != nil {
		fmt.Fprintf(w, "accounting=%s\n", map[bool]string{true: "on", false: "off"}[*s.Accounting])
	}
	for _, name := range slices.Sorted(maps.Keys(s.TCP)) {
		fmt.Fprintf(w, "%s=%s\n", name, s.TCP[name])
	}
	return nil
}

// parseSettings reads NAME=VALUE arguments.
func parseSettings(args []string) (*api.Settings, error) {
	s := &api.Settings{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			return nil, usagef("set: %q: want NAME=VALUE, such as log-level=debug", arg)
		case name == "log-level":
			s.LogLevel = &value
		case name == "accounting":
			on, known := map[string]bool{"on": true, "true": true, "1": true, "off": false, "false": false, "0": false}[value]
			if !known {
				return nil, usagef("set: accounting=%q: want on or off", value)
			}
			s.Accounting = &on
		case strings.HasPrefix(name, "net."):
			if s.TCP == nil {
				s.TCP = make(map[string]string)
			}
			s.TCP[name] = value
		default:
			return nil, usagef("set: there is no setting %q: \"tapstack set\" alone lists them", name)
		}
	}
	return s, nil
}

// Reload has the daemon read its configuration again, and says what became of
// it.
func Reload(ctx context.Context, c *client.Client, asJSON func(any) error, w io.Writer) error {
	r, err := c.Reload(ctx)
	if err != nil {
		return err
	}
	if asJSON != nil {
		return asJSON(r)
	}
	for _, what := range r.Changed {
		fmt.Fprintf(w, "changed  %s\n", what)
	}
	for _, what := range r.Restart {
		fmt.Fprintf(w, "restart  %s\n", restartText(what))
	}
	if len(r.Changed)+len(r.Restart) == 0 {
		fmt.Fprintln(w, "nothing differs")
	}
	return nil
}

// unlessOver is err, unless ctx has ended, which is how an end was asked for.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that it was ended is no failure
	}
	return err
}

// Events prints the daemon's log as it goes on, until ctx is done or the daemon
// ends.
func Events(ctx context.Context, c *client.Client, level string, asJSON func(any) error, w io.Writer) error {
	err := c.Events(ctx, &api.EventQuery{Level: level}, func(e *api.Event) error {
		if asJSON != nil {
			return asJSON(e)
		}
		if e.Lost > 0 {
			fmt.Fprintf(w, "(%d lost: this listener was too slow)\n", e.Lost)
		}
		fmt.Fprintf(w, "%s %-5s %s", e.Time.Local().Format("15:04:05.000"), e.Level, e.Message)
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			fmt.Fprintf(w, " %s=%v", name, e.Attributes[name])
		}
		_, err := fmt.Fprintln(w)
		return err
	})
	return unlessOver(ctx, err)
}

// restartText says of something that takes a restart how it differs, and why it
// does if the daemon has said that.
func restartText(what string) string {
	name, why, _ := strings.Cut(what, ": ")
	how := "differs in the file"
	if n, ok := strings.CutSuffix(name, " (added)"); ok {
		name, how = n, "is new in the file"
	} else if n, ok := strings.CutSuffix(name, " (removed)"); ok {
		name, how = n, "is no longer in the file"
	}
	if why != "" {
		why = " (" + why + ")"
	}
	return name + ": " + how + ", and takes a restart" + why
}
