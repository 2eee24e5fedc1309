package daemon

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/privilege"
)

const minimal = "[nic.tap0]\naddress = ['192.0.2.2/24']\n"

func TestSections(t *testing.T) {
	c, err := Parse("f", []byte(minimal+`
[process]
user = "a"
group = "b"
seccomp = "log"
landlock = "required"
drain = "90s"
[log]
level = "warn"
format = "json"
[metrics]
listen = "[::1]:9477"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := ProcessConfig{User: "a", Group: "b", Seccomp: privilege.Log, Landlock: privilege.Required, Drain: 90 * time.Second}
	if c.Process != want || c.Log != (LogConfig{slog.LevelWarn, "json"}) || c.Metrics.Listen.String() != "[::1]:9477" {
		t.Errorf("%+v %+v %+v", c.Process, c.Log, c.Metrics)
	}
	if c, err = Parse("f", []byte(minimal+"[process]\n[log]\n[metrics]\n")); err != nil || c.Process != (ProcessConfig{}) || c.Metrics.Listen.IsValid() {
		t.Errorf("empty sections: %+v, %v", c, err)
	}
	for text, want := range map[string]string{
		"[process]\nuesr = 'a'":                  `f:4: unknown key "uesr" in [process]: did you mean "user"?`,
		"[log]\nlevel = 'loud'":                  `f:4: level: log level "loud": choose debug, info, warn or error`,
		"[log]\nformat = 'xml'":                  `f:4: format: "xml": choose text or json`,
		"[log]\nlevel = 5":                       `f:4: level: want a string in quotes`,
		"[process]\nlandlock = 'log'":            `f:4: landlock: "log": choose auto, required or off`,
		"[process]\nseccomp = true":              `f:4: seccomp: want a string in quotes`,
		"[process]\ndrain = '0s'":                `f:4: drain: "0s": write a time up to an hour, such as "5s"`,
		"[metrics]\nlisten = '192.0.2.1:9477'":   `f:4: listen: "192.0.2.1:9477": write a loopback address with a port`,
		"[metrics]\nlisten = ':9477'":            `f:4: listen: ":9477": write a loopback address`,
		"[metrics]\nlisten = 'localhost:9477'":   `f:4: listen: "localhost:9477": write a loopback address`,
		"[metrics]\nlisten = '[::1%lo]:9477'":    `f:4: listen: "[::1%lo]:9477": write a loopback address`,
		"[metrics]\nport = 9477":                 `f:4: unknown key "port" in [metrics]: known are listen`,
		"[[metrics]]\nlisten = '127.0.0.1:9477'": `"metrics" has to be a section: [metrics]`,
	} {
		_, err := Parse("f", []byte(minimal+text+"\n"))
		var ce *ConfigError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

// TestOverride: a flag is above the file, when that is read again, too.
func TestOverride(t *testing.T) {
	c := newControlled(t, plain+"[log]\nlevel = 'warn'\n")
	if err := c.cfg.Override("log.level", "error", "--log-level"); err != nil {
		t.Fatal(err)
	}
	c.events.SetLevel(c.cfg.Log.Level)
	c.rewrite(t, plain+"[log]\nlevel = 'debug'\n[process]\ndrain = '7s'\n")
	done, err := c.api.Reload(within(t))
	if err != nil || c.events.Level() != slog.LevelError || strings.Contains(strings.Join(done.Changed, " "), "log.level") {
		t.Errorf("%+v, %v, level %v", done, err, c.events.Level())
	}
	if got := c.drainTime(); got != 7*time.Second {
		t.Errorf("drain %v", got)
	}
	for name, want := range map[string]string{"log.level": "--x: level: log level", "log": "--x: there is no setting log", "": "--x: there is no"} {
		if err := c.cfg.Override(name, "?", "--x"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestReloadSurroundings: the level and the place of the metrics change live,
// and stay with a file that can not be carried out; the rest takes a restart.
func TestReloadSurroundings(t *testing.T) {
	c := newControlled(t, plain)
	ctx := within(t)
	reload := func(text string) (changed, restart string) {
		t.Helper()
		c.rewrite(t, plain+text)
		done, err := c.api.Reload(ctx)
		if err != nil {
			return err.Error(), ""
		}
		return strings.Join(done.Changed, " "), strings.Join(done.Restart, " ")
	}
	reload("") // what newControlled has set besides
	changed, restart := reload("[log]\nlevel = 'debug'\nformat = 'json'\n[metrics]\nlisten = '127.0.0.1:0'\n[process]\nuser = 'x'\ngroup = 'y'\nseccomp = 'off'\nlandlock = 'off'\n")
	if !strings.Contains(changed, "log.level metrics.listen") || !strings.HasSuffix(restart, "process.user process.group process.seccomp process.landlock log.format") {
		t.Errorf("changed %s; restart %s", changed, restart)
	}
	if c.events.Level() != slog.LevelDebug || c.metricsHTTP.server == nil {
		t.Errorf("level %v, metrics %v", c.events.Level(), c.metricsHTTP.server)
	}
	// Somebody else is there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if changed, _ = reload("[log]\nlevel = 'error'\n[metrics]\nlisten = '" + l.Addr().String() + "'\n"); !strings.Contains(changed, "address already in use") {
		t.Errorf("%s", changed)
	}
	if c.events.Level() != slog.LevelDebug || c.metricsHTTP.server == nil {
		t.Errorf("after a refusal: level %v, metrics %v", c.events.Level(), c.metricsHTTP.server)
	}
	if changed, _ = reload(""); changed != "log.level metrics.listen" || c.metricsHTTP.server != nil || c.events.Level() != slog.LevelInfo {
		t.Errorf("back: %s, %v", changed, c.metricsHTTP.server)
	}
}
