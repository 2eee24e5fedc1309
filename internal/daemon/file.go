package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// The largest configuration file and the longest line of one, in bytes: far
// above what anyone writes, far below what would hurt. (The parser's time grows
// with the cube of the dots in a key, and a key is on one line.)
const (
	maxFile = 1 << 20
	maxLine = 512
)

// Load reads a configuration file; testdata/tapstack.toml shows all there is
// to set. Every error is a *ConfigError.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, configErrorf("", "configuration: %w", err)
	}
	defer f.Close()
	return load(path, f)
}

// loadAgain is Load for a daemon that works already: it never waits. What is
// read is a file, not a pipe that nobody writes to, nor a device.
func loadAgain(path string) (*Config, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, configErrorf("", "configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, configErrorf("", "configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, configErrorf("", "configuration: %s is no regular file: it can not be read again", path)
	}
	return load(path, f)
}

func load(path string, f io.Reader) (*Config, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, configErrorf("", "configuration: %w", err)
	}
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	c.File = path
	return c, nil
}

// Parse is Load for a file's content; name is what errors call it.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxFile {
		return nil, configErrorf(name, "the file is larger than %d bytes: is it a configuration?", maxFile)
	}
	f := &tomlFile{name: name, tables: make(map[string]table)}
	n := 0
	for line := range bytes.Lines(data) {
		if n++; len(line) > maxLine {
			return nil, configErrorf(f.at(n), "the line is longer than %d bytes: break it", maxLine)
		}
	}
	var err error
	if f.md, err = toml.Decode(string(data), &f.root); err != nil {
		return nil, f.syntaxError(err)
	}
	if err := f.checkKeys(); err != nil {
		return nil, err
	}
	d, err := f.draft()
	if err != nil {
		return nil, err
	}
	return d.config()
}

// table is a TOML table whose values are not looked at yet.
type table map[string]toml.Primitive

// tomlFile is a parsed file on its way to a draft. Tables are maps, not
// structs: toml matches a struct's fields in any case, and drops the rest.
type tomlFile struct {
	name   string
	md     toml.MetaData
	root   table
	tables map[string]table // below root, by path, as far as they were walked
}

// syntaxError says where the file is no TOML.
func (f *tomlFile) syntaxError(err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &ConfigError{f.name, err}
	}
	// The parser's messages are sentences, some of several lines.
	msg := strings.TrimSuffix(strings.Join(strings.Fields(pe.Message), " "), ".")
	return configErrorf(f.at(pe.Position.Line), "%s", msg)
}

// draft takes the known keys out of the file. Every value has to have its
// type; what the text says is for draft.config to judge.
func (f *tomlFile) draft() (*draft, error) {
	d := &draft{where: f.name}
	if _, err := f.table("nic"); err != nil {
		return nil, err
	}
	for _, name := range f.namesBelow("nic") {
		n, err := f.nicDraft(name)
		if err != nil {
			return nil, err
		}
		d.nics = append(d.nics, *n)
	}
	services, err := f.table("services")
	if err != nil {
		return nil, err
	}
	for _, name := range serviceKeys {
		p, ok := services[name]
		if !ok {
			continue
		}
		s := serviceDraft{name: name, where: f.where("services", name)}
		if f.md.PrimitiveDecode(p, &s.addr) != nil {
			return nil, configErrorf(s.where, "%s: want a string, such as \":80\"", name)
		}
		d.services = append(d.services, s)
	}
	where := func(key string) string { return f.where("services", key) }
	d.buffers.where, d.web.where, d.web.whereList = where, where("http-root"), where("http-list")
	err = f.values(services, where, []value{
		{"http-root", &d.web.root, "a path in quotes"},
		{"http-list", &d.web.list, wantBool},
		{"rcvbuf", &d.buffers.receive, wantBytes},
		{"sndbuf", &d.buffers.send, wantBytes},
		{"accounting", &d.account, wantBool},
	})
	if err != nil {
		return nil, err
	}
	for _, more := range []func(*draft) error{f.proxyDrafts, f.namesDraft, f.tcpDraft} {
		if err := more(d); err != nil {
			return nil, err
		}
	}
	if d.settings, err = f.settingDrafts(); err != nil {
		return nil, err
	}
	d.control, err = f.controlDraft()
	return d, err
}

// value is a key of a table: where its value goes, and what it has to be.
type value struct {
	key  string
	into any
	want string
}

// What several keys want.
const (
	wantBool  = "true or false"
	wantBytes = "a number of bytes, such as 262144"
)

// values takes values out of a table, as far as they are there.
func (f *tomlFile) values(t table, where func(key string) string, all []value) error {
	for _, v := range all {
		if p, ok := t[v.key]; ok && f.md.PrimitiveDecode(p, v.into) != nil {
			return configErrorf(where(v.key), "%s: want %s", v.key, v.want)
		}
	}
	return nil
}

// namesBelow are the names that the operator chose below a section, in the
// file's order.
func (f *tomlFile) namesBelow(section string) []string {
	var names []string
	seen := make(map[string]bool)
	for _, k := range f.md.Keys() {
		if len(k) >= 2 && k[0] == section && !seen[k[1]] {
			seen[k[1]] = true
			names = append(names, k[1])
		}
	}
	return names
}

func (f *tomlFile) nicDraft(name string) (*nicDraft, error) {
	t, err := f.table("nic", name)
	if err != nil {
		return nil, err
	}
	n := &nicDraft{name: name, where: f.whereIn("nic", name)}
	_, n.mtuSet = t["mtu"]
	const wantList = "a list of strings in brackets"
	return n, f.values(t, n.where, []value{
		{"address", &n.address, wantList},
		{"host", &n.host, wantList},
		{"routes", &n.routes, wantList},
		{"mtu", &n.mtu, "a number of bytes, such as 1500"},
		{"adopt", &n.adopt, wantBool},
		{"plain", &n.plain, wantBool},
		{"queues", &n.queues, "a number, such as 2"},
		{"spin", &n.spin, "a string, such as \"100us\" or \"never\""},
	})
}

// table walks down to a table; one that is not there is empty.
func (f *tomlFile) table(path ...string) (table, error) {
	t := f.root
	for i, name := range path {
		p, ok := t[name]
		if !ok {
			return nil, nil
		}
		here := toml.Key(path[:i+1])
		next := f.tables[here.String()]
		// toml leaves the map nil, without an error, if it finds no table.
		if next == nil && (f.md.PrimitiveDecode(p, &next) != nil || next == nil) {
			return nil, configErrorf(f.where(here...), "%q has to be a section: [%s]", name, here)
		}
		f.tables[here.String()] = next
		t = next
	}
	return t, nil
}

// where is "file:line" of a key.
func (f *tomlFile) where(path ...string) string {
	t, err := f.table(path[:len(path)-1]...)
	if err != nil {
		return f.name
	}
	p, ok := t[path[len(path)-1]]
	if !ok {
		return f.name
	}
	// The parser knows every key's line, and tells it in errors alone.
	var pe toml.ParseError
	if !errors.As(f.md.PrimitiveDecode(p, new(refusal)), &pe) {
		return f.name
	}
	return f.at(pe.Position.Line)
}

// whereIn is where of the keys of a section; "" is the section itself.
func (f *tomlFile) whereIn(section ...string) func(key string) string {
	return func(key string) string {
		if key == "" {
			return f.where(section...)
		}
		return f.where(append(slices.Clip(section), key)...)
	}
}

func (f *tomlFile) at(line int) string {
	if line <= 0 {
		return f.name
	}
	return fmt.Sprintf("%s:%d", f.name, line)
}

// refusal is a value that can not be decoded.
type refusal struct{}

// UnmarshalTOML implements toml.Unmarshaler.
func (*refusal) UnmarshalTOML(any) error { return errors.New("refused") }
