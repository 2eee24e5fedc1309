package daemon

import (
	"fmt"
	"io/fs"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// tcpDraft takes the section [tcp]: a number, a string or a list of numbers
// for each name.
func (f *tomlFile) tcpDraft(d *draft) error {
	t, err := f.table("tcp")
	if err != nil {
		return err
	}
	for _, name := range sysctlNames() {
		p, ok := t[name]
		if !ok {
			continue
		}
		one := sysctlDraft{name: name, where: f.where("tcp", name)}
		var number int64
		var numbers []int64
		switch {
		case f.md.PrimitiveDecode(p, &one.value) == nil:
		case f.md.PrimitiveDecode(p, &number) == nil:
			one.value = strconv.FormatInt(number, 10)
		case f.md.PrimitiveDecode(p, &numbers) == nil:
			one.value = strings.Trim(fmt.Sprint(numbers), "[]")
		default:
			return configErrorf(one.where, "%s: want a number, a string, or a list of numbers", name)
		}
		d.tcp = append(d.tcp, one)
	}
	return nil
}

// controlDraft takes the section [control]; nil if there is none.
func (f *tomlFile) controlDraft() (*controlDraft, error) {
	t, err := f.table("control")
	if err != nil {
		return nil, err
	}
	// An empty section asks for the defaults.
	if _, ok := f.root["control"]; !ok {
		return nil, nil
	}
	c := &controlDraft{path: DefaultSocket, where: f.whereIn("control")}
	return c, f.values(t, c.where, []value{
		{"path", &c.path, "a path in quotes"},
		{"mode", &c.mode, "a string such as \"0660\""},
		{"group", &c.group, "a group's name in quotes"},
		{"readonly-for-others", &c.others, wantBool},
	})
}

// config checks the section.
func (d *controlDraft) config() (ControlConfig, error) {
	c := ControlConfig{Path: d.path, GID: -1, Others: d.others}
	if !filepath.IsAbs(d.path) {
		return c, configErrorf(d.where("path"), "path %q: want an absolute one, such as %s", d.path, DefaultSocket)
	}
	if d.group != "" {
		gid, err := lookupGroup(d.group)
		if err != nil {
			return c, &ConfigError{d.where("group"), err}
		}
		c.GID = gid
	}
	c.Mode = c.defaultMode()
	if d.mode != "" {
		n, err := strconv.ParseUint(d.mode, 8, 32)
		if err != nil || n > 0o777 {
			return c, configErrorf(d.where("mode"), "mode %q: want permissions in octal, such as \"0660\"", d.mode)
		}
		c.Mode = fs.FileMode(n)
	}
	return c, nil
}

// defaultMode lets in those who may do something. Connecting takes the
// permission to write.
func (c *ControlConfig) defaultMode() fs.FileMode {
	switch {
	case c.Others:
		return 0o666
	case c.GID >= 0:
		return 0o660
	}
	return 0o600
}

func lookupGroup(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q: make it (groupadd --system %s), or leave it out for root alone", name, name)
	}
	return strconv.Atoi(g.Gid)
}

// SetSocket makes path the control socket, in place of what the configuration
// says. The error is a *ConfigError that names the flag --socket.
func (c *Config) SetSocket(path string) error {
	d := controlDraft{path: path, where: func(string) string { return "--socket" }}
	made, err := d.config()
	if err != nil {
		return err
	}
	return c.override(func(c *Config) error {
		if c.Control.Path == "" {
			c.Control = made
		}
		c.Control.Path = path
		return nil
	})
}
