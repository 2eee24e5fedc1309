package daemon

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/socketapi"
)

// TestReload: everything that can change does, while a connection goes on.
func TestReload(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
	old, err := d.DialContext(ctx, "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	ping(t, old)
	c.rewrite(t, `
[nic."NIC"]
address = ["192.0.2.2/24", "192.0.2.66/24"]
mtu = 1400
routes = ["10.0.0.0/8 via 192.0.2.1"]
host = ["192.0.2.1/24"]
[nic.tap9]
address = ["198.51.100.1/24"]
[services]
echo = "192.0.2.66:7"
chargen = ":9"
accounting = true
[tcp]
"net.ipv4.tcp_congestion_control" = "reno"
[control]
path = "/elsewhere"
readonly-for-others = true
`)
	done, err := c.api.Reload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name := c.stack.NICs()[0].Name()
	wantChanged := []string{
		"nic." + name + ".address + 192.0.2.66/24", "nic." + name + ".routes + 10.0.0.0/8 via 192.0.2.1", "tcp",
		"services.echo", "services.discard", "services.chargen", "services.accounting",
		"nic." + name + ".address - 2001:db8::2/64", "control.readonly-for-others",
	}
	wantRestart := []string{"nic." + name + ".mtu", "nic." + name + ".host", "nic.tap9 (added)", "control.path", "control.mode"}
	if strings.Join(done.Changed, "\n") != strings.Join(wantChanged, "\n") {
		t.Errorf("changed %q\nwant %q", done.Changed, wantChanged)
	}
	if strings.Join(done.Restart, "\n") != strings.Join(wantRestart, "\n") {
		t.Errorf("restart %q\nwant %q", done.Restart, wantRestart)
	}
	ping(t, old) // goes on
	for addr, open := range map[string]bool{"192.0.2.66:7": true, "192.0.2.2:7": false, "192.0.2.2:9": true} {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if (err == nil) != open {
			t.Errorf("%s: %v", addr, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	if conn, err := d.DialContext(ctx, "tcp", "192.0.2.2:9"); err != nil {
		t.Error(err)
	} else {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
			t.Errorf("chargen in discard's place: %v", err)
		}
		conn.Close()
	}
	if cc := c.stack.TCP().CongestionControl; cc != "reno" {
		t.Errorf("congestion control %s", cc)
	}
	if list, err := c.api.Sockets(ctx, &api.SocketQuery{TCP: true, States: []string{"ESTABLISHED"}, Holdup: true}); err != nil || len(list) == 0 || list[0].Holdup == nil {
		t.Errorf("no account: %+v, %v", list, err)
	}

	// What takes a restart is told again; the rest is as it is.
	done, err = c.api.Reload(ctx)
	if err != nil || len(done.Changed) != 0 || len(done.Restart) != len(wantRestart) {
		t.Errorf("again: %+v, %v", done, err)
	}
	// And back.
	c.rewrite(t, plain)
	if done, err = c.api.Reload(ctx); err != nil || len(done.Changed) != len(wantChanged) {
		t.Errorf("back: %+v, %v", done, err)
	}
	ping(t, old)
	conn, err := d.DialContext(ctx, "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	ping(t, conn)
	conn.Close()
}

// TestReloadChangesNothing: with a bad file, or one that cannot be carried
// out, everything is as it was.
func TestReloadChangesNothing(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	taken, err := socketapi.Listen(c.stack, "tcp", ":99")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before, err := c.api.Settings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	had, routes := c.addresses(t), c.stack.Routes()
	for _, one := range []struct{ file, want string }{
		{plain + "foo = 1\n", `unknown key "foo" in [services]`},
		{"", "no NIC"},
		{"\x00", ""},
		{strings.Replace(plain, `"192.0.2.2/24"`, `"192.0.2.2/24", "192.0.2.67/24"`, 1) + "http = ':99'\n[tcp]\n'net.ipv4.tcp_sack' = 0\n", "in use"},
		{plain + strings.Repeat("# a comment of many bytes\n", 50000), "larger than"},
	} {
		c.rewrite(t, one.file)
		_, err := c.api.Reload(ctx)
		var e *api.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), one.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v, want %s", one.file, err, one.want)
		}
		after, err := c.api.Settings(ctx)
		if err != nil || after.TCP["net.ipv4.tcp_sack"] != before.TCP["net.ipv4.tcp_sack"] {
			t.Errorf("%.40q: settings changed: %v, %v", one.file, after, err)
		}
		if got := c.addresses(t); got != had || len(c.stack.Routes()) != len(routes) {
			t.Errorf("%.40q: addresses %s, were %s", one.file, got, had)
		}
		d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
		conn, err := d.DialContext(ctx, "tcp", "192.0.2.2:7")
		if err != nil {
			t.Errorf("%.40q: echo: %v", one.file, err)
			continue
		}
		ping(t, conn)
		conn.Close()
	}
	if err := os.Remove(c.cfg.File); err != nil {
		t.Fatal(err)
	}
	if _, err := c.api.Reload(ctx); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	c.cfg.File = ""
	if _, err := c.api.Reload(ctx); err == nil || !strings.Contains(err.Error(), "started with flags") {
		t.Errorf("flags: %v", err)
	}
}

// addresses are the daemon's, as one text.
func (c *controlled) addresses(t *testing.T) string {
	t.Helper()
	list, err := c.api.Addresses(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a.Address + " ")
	}
	return b.String()
}

func TestSettings(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	level, on, bad := "debug", true, "loud"
	d := socketapi.Dialer{Stack: c.peer, Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", "192.0.2.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ping(t, conn)
	for _, one := range []*api.Settings{
		{LogLevel: &bad, Accounting: &on},
		{Accounting: &on, TCP: map[string]string{"net.ipv4.tcp_sack": "0", "net.ipv4.tcp_rmem": "1"}},
		{TCP: map[string]string{"net.ipv4.tcp_sak": "0"}},
		{LogLevel: &level, TCP: map[string]string{"net.ipv4.tcp_rto_min_us": "3000000000", "net.ipv4.tcp_rto_max_ms": "1"}},
	} {
		if err := c.api.Change(ctx, one); err == nil {
			t.Errorf("%+v was taken", one)
		}
		if s, err := c.api.Settings(ctx); err != nil || *s.LogLevel != "info" || *s.Accounting || s.TCP["net.ipv4.tcp_sack"] != "1" {
			t.Errorf("changed by halves: %+v, %v", s, err)
		}
	}
	rmem := "4096 65536 1048576"
	if err := c.api.Change(ctx, &api.Settings{LogLevel: &level, Accounting: &on, TCP: map[string]string{"net.ipv4.tcp_rmem": rmem}}); err != nil {
		t.Fatal(err)
	}
	s, err := c.api.Settings(ctx)
	if err != nil || *s.LogLevel != "debug" || !*s.Accounting || s.TCP["net.ipv4.tcp_rmem"] != rmem || s.TCP["net.ipv4.tcp_sack"] != "1" {
		t.Errorf("%+v, %v", s, err)
	}
	// On a connection there is, and with the new buffer on one to come.
	second, err := d.DialContext(ctx, "tcp", "192.0.2.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	list, err := c.api.Sockets(ctx, &api.SocketQuery{TCP: true, States: []string{"ESTABLISHED"}, Holdup: true, Memory: true})
	if err != nil || len(list) == 0 || list[0].Holdup == nil {
		t.Errorf("%+v, %v", list, err)
	}
	// All sysctls can be set to what they are.
	if err := c.api.Change(ctx, &api.Settings{TCP: s.TCP}); err != nil {
		t.Error(err)
	}
}

func TestSysctls(t *testing.T) {
	cfg := newControlled(t, plain).stack.TCP()
	for name, value := range allSysctls(cfg) {
		changed := cfg
		if err := setSysctl(&changed, name, value); err != nil || changed != cfg {
			t.Errorf("%s = %s: %v, %+v", name, value, err, changed)
		}
		for _, bad := range []string{"", "-1", "x", "1 2 3 4", "99999999999999999999"} {
			if err := setSysctl(&changed, name, bad); err == nil {
				t.Errorf("%s = %q was taken", name, bad)
			}
		}
	}
}
