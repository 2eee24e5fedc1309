package script_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tapstack/drill/script"
)

// TestConformance parses every script below the directory that the environment
// names. With -v it lists what they use, which is what an interpreter needs.
func TestConformance(t *testing.T) {
	dir := os.Getenv("CONFORMANCE")
	if dir == "" {
		t.Skip("CONFORMANCE names no directory with other people's scripts")
	}
	use := make(usage)
	scripts, bad := 0, 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".pkt" {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		scripts++
		s, err := script.Parse(path, string(src), &script.Config{Defines: map[string]string{"STANDARD": ""}})
		if err != nil {
			bad++
			t.Error(detail(err))
			return nil
		}
		checkRoundTrip(t, s)
		s.Inspect(use.of)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d scripts parse\n%s", scripts-bad, scripts, use)
	if scripts == 0 {
		t.Error("no scripts in", dir)
	}
}

// usage counts what scripts use, by kind and then by name.
type usage map[string]map[string]int

func (u usage) add(kind, name string) {
	if u[kind] == nil {
		u[kind] = make(map[string]int)
	}
	u[kind][name]++
}

func (u usage) String() string {
	var b strings.Builder
	for _, kind := range sortedKeys(u) {
		fmt.Fprintf(&b, "%s:", kind)
		names := sortedKeys(u[kind])
		slices.SortStableFunc(names, func(x, y string) int { return u[kind][y] - u[kind][x] })
		for _, n := range names {
			fmt.Fprintf(&b, " %s %d,", n, u[kind][n])
		}
		b.WriteString("\n")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// of counts one node.
func (u usage) of(n script.Node) bool {
	switch n := n.(type) {
	case *script.Option:
		u.add("option", n.Name+"="+n.Value)
	case *script.Event:
		u.add("time", [...]string{"none", "absolute", "relative", "absolute range", "relative range", "any"}[n.Time.Kind])
		u.add("event", strings.TrimPrefix(reflect.TypeOf(n.Action).String(), "*script."))
	case *script.Call:
		u.call(n)
	case *script.Shell:
		for _, c := range n.Commands() {
			u.add("shell", strings.Join(c, " "))
		}
	case *script.Assert:
		script.Inspect(n.Cond, func(n script.Node) bool {
			switch n := n.(type) {
			case *script.Name:
				u.add("name in an assertion", n.Name)
			case *script.Binary:
				u.add("operator in an assertion", n.Op)
			case *script.Compare:
				u.add("operator in an assertion", strings.Join(n.Ops, " "))
			}
			return true
		})
	case script.Expr:
		u.add("argument", strings.TrimPrefix(reflect.TypeOf(n).String(), "*script."))
	default:
		u.packet(n)
	}
	return true
}

func (u usage) call(c *script.Call) {
	u.add("call", c.Name)
	if c.Blocks {
		u.add("call that blocks", c.Name)
	}
	if c.Errno != "" {
		u.add("error", c.Name+" "+c.Errno)
	}
	for i, a := range c.Args {
		script.Inspect(a, func(n script.Node) bool {
			if name, ok := n.(*script.Name); ok {
				u.add("constant of "+c.Name, name.Name)
			}
			if s, ok := n.(*script.Struct); ok {
				u.add("struct in "+c.Name, fmt.Sprintf("argument %d: %s", i, script.Format(s)))
			}
			return true
		})
	}
}

func (u usage) packet(n script.Node) {
	switch n := n.(type) {
	case *script.Packet:
		dir := map[bool]string{false: "<", true: ">"}[n.Outbound]
		u.add("packet", dir+" "+strings.TrimPrefix(reflect.TypeOf(n.Body).String(), "*script."))
		if tcp, ok := n.Body.(*script.TCP); ok {
			u.add("flags", dir+" "+tcp.Flags.String())
			u.tcp(dir, tcp)
		}
	case *script.ICMP:
		u.add("icmp", n.Type+" "+n.Code)
		if n.MTU.IsSet() {
			u.add("icmp", "mtu")
		}
		if n.Quote != nil {
			u.add("icmp", "quote")
		}
	case *script.IPInfo:
		u.add("ip info", script.Format(n))
	case script.TCPOption:
		u.add("tcp option", strings.TrimPrefix(reflect.TypeOf(n).String(), "*script."))
	case script.Header, *script.Ports:
		u.add("header", strings.TrimPrefix(reflect.TypeOf(n).String(), "*script."))
	}
}

func (u usage) tcp(dir string, tcp *script.TCP) {
	var names []string
	for _, o := range tcp.Options {
		if s, ok := o.(*script.SACK); ok {
			names = append(names, fmt.Sprintf("sack(%d)", len(s.Blocks)))
			continue
		}
		names = append(names, strings.Fields(script.Format(o))[0])
	}
	if tcp.AnyOptions {
		names = append(names, "...")
	}
	u.add("option list", dir+" <"+strings.Join(names, ",")+">")
	for name, v := range map[string]script.Value{"ack": tcp.Ack, "win": tcp.Win, "urg": tcp.Urg} {
		if v.IsSet() {
			u.add("tcp field", dir+" "+name)
		}
	}
	if tcp.Ack.IsSet() != (tcp.Flags&script.ACK != 0) {
		u.add("tcp field", dir+" ack number and flag disagree: "+tcp.Flags.String())
	}
	if script.ACK&tcp.Flags == 0 && tcp.Len.Lo > 0 {
		u.add("tcp field", dir+" data without ACK: "+tcp.Flags.String())
	}
}
