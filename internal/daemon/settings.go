package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/privilege"
)

// ProcessConfig says what the process is once all that needs privilege is open.
type ProcessConfig struct {
	// User and Group to become, by name or number. "" looks for one
	// (privilege.Unprivileged); "root" stays whoever it is, which is for
	// debugging. No capability is left with any of them.
	User, Group string

	Seccomp, Landlock privilege.Mode

	// Drain is how long connections get to close when the daemon ends; 0 is
	// five seconds.
	Drain time.Duration
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  slog.Level
	Format string // "text", which "" is too, or "json"
}

// MetricsConfig says where metrics can be had besides the control socket.
type MetricsConfig struct {
	// Listen is a loopback address of the host with a port; the zero value is
	// nowhere.
	Listen netip.AddrPort
}

// settings are the keys of the sections [process], [log] and [metrics], all of
// them text: the same from a file as from a flag.
var settings = []setting{
	{"process", "user", func(c *Config, v string) error { c.Process.User = v; return nil }},
	{"process", "group", func(c *Config, v string) error { c.Process.Group = v; return nil }},
	{"process", "seccomp", func(c *Config, v string) error { return c.Process.Seccomp.UnmarshalText([]byte(v)) }},
	{"process", "landlock", func(c *Config, v string) error {
		if err := c.Process.Landlock.UnmarshalText([]byte(v)); err != nil || c.Process.Landlock == privilege.Log {
			return fmt.Errorf("%q: choose auto, required or off", v)
		}
		return nil
	}},
	{"process", "drain", func(c *Config, v string) (err error) { c.Process.Drain, err = parseDrain(v); return err }},
	{"log", "level", func(c *Config, v string) (err error) { c.Log.Level, err = life.ParseLevel(v); return err }},
	{"log", "format", func(c *Config, v string) error {
		c.Log.Format = v
		if v != "text" && v != "json" {
			return fmt.Errorf("%q: choose text or json", v)
		}
		return nil
	}},
	{"metrics", "listen", func(c *Config, v string) (err error) { c.Metrics.Listen, err = parseLoopback(v); return err }},
}

type setting struct {
	section, key string
	set          func(*Config, string) error
}

// settingDraft is one as somebody wrote it.
type settingDraft struct {
	*setting
	value, where string
}

func (d *settingDraft) apply(c *Config) error {
	if err := d.set(c, d.value); err != nil {
		return &ConfigError{d.where, fmt.Errorf("%s: %w", d.key, err)}
	}
	return nil
}

// settingKeys are the keys of a section; none if it is another's.
func settingKeys(section string) (keys []string) {
	for i := range settings {
		if settings[i].section == section {
			keys = append(keys, settings[i].key)
		}
	}
	return keys
}

// settingDrafts takes the sections.
func (f *tomlFile) settingDrafts() (out []settingDraft, err error) {
	for i := range settings {
		s := &settings[i]
		t, err := f.table(s.section)
		if err != nil {
			return nil, err
		}
		p, ok := t[s.key]
		if !ok {
			continue
		}
		d := settingDraft{setting: s, where: f.where(s.section, s.key)}
		if f.md.PrimitiveDecode(p, &d.value) != nil {
			return nil, configErrorf(d.where, "%s: want a string in quotes", s.key)
		}
		out = append(out, d)
	}
	return out, nil
}

// Override sets "section.key" to what a flag says, above what the file says now
// and when it is read again. The error is a *ConfigError that names the flag.
func (c *Config) Override(name, value, flag string) error {
	section, key, _ := strings.Cut(name, ".")
	i := slices.IndexFunc(settings, func(s setting) bool { return s.section == section && s.key == key })
	if i < 0 {
		return configErrorf(flag, "there is no setting %s", name)
	}
	d := settingDraft{&settings[i], value, flag}
	return c.override(d.apply)
}

// override applies what a flag says, and keeps it for the next time.
func (c *Config) override(apply func(*Config) error) error {
	if err := apply(c); err != nil {
		return err
	}
	c.overrides = append(c.overrides, apply)
	return nil
}

// overridden is c with what the flags said that made old.
func (c *Config) overridden(old *Config) (*Config, error) {
	for _, apply := range old.overrides {
		if err := c.override(apply); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func parseDrain(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > time.Hour {
		return 0, fmt.Errorf("%q: write a time up to an hour, such as \"5s\"", text)
	}
	return d, nil
}

// parseLoopback reads an address on which nobody from outside can connect.
func parseLoopback(text string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(text)
	if a := ap.Addr(); err != nil || !a.IsLoopback() || a.Is4In6() || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q: write a loopback address with a port, such as \"127.0.0.1:9477\"", text)
	}
	return ap, nil
}
