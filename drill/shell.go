package drill

import (
	"strconv"
	"strings"
	"time"

	"tapstack/drill/script"
	"tapstack/stack"
)

// Shell text is configuration of somebody else's system: what is known is
// taken over, and nothing is executed. What stands before all other events
// makes the stack; later only what is in force already is accepted.

// shell handles shell text in the middle of a script.
func (r *run) shell(sh *script.Shell) {
	want := r.opts.tcp
	r.configure(&want, sh)
	if want != r.opts.tcp {
		unsupported(sh.Pos, "settings that change while a script runs")
	}
}

// configure puts what the commands say into c.
func (r *run) configure(c *stack.TCPConfig, sh *script.Shell) {
	for _, cmd := range sh.Commands() {
		var settings []string
		switch {
		case strings.HasSuffix(cmd[0], "sysctl"):
			for _, w := range cmd[1:] {
				if !strings.HasPrefix(w, "-") {
					settings = append(settings, w)
				}
			}
		case strings.HasSuffix(cmd[0], "set_sysctls.py"):
			settings = cmd[1:]
		case cmd[0] == "true" || cmd[0] == "sleep" || cmd[0] == "echo":
			continue
		default:
			unsupported(sh.Pos, "shell command %s", cmd[0])
		}
		for _, s := range settings {
			r.setting(c, sh.Pos, s)
		}
	}
}

// setting puts NAME=VALUE into c.
func (r *run) setting(c *stack.TCPConfig, pos script.Pos, s string) {
	name, value, _ := strings.Cut(s, "=")
	r.sysctl(c, pos, path(name), strings.TrimSpace(value))
}

// path turns /proc/sys/net/ipv4/tcp_sack into net.ipv4.tcp_sack.
func path(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(name), "/proc/sys/"), "/", ".")
}

// ignoredSysctls change nothing that this stack has, or only what it forgets
// between scripts anyway.
var ignoredSysctls = map[string]bool{
	"net.inet.tcp.hostcache.purgenow": true, "net.inet.tcp.recvbuf_inc": true,
	"net.ipv4.tcp_metrics_save": true, "net.ipv4.tcp_no_metrics_save": true,
}

// alwaysOn are switches for what this stack always does: they can be switched
// on, and not off.
var alwaysOn = map[string]bool{
	"net.ipv4.tcp_timestamps": true, "net.ipv4.tcp_window_scaling": true, "net.inet.tcp.rfc1323": true,
}

func (r *run) sysctl(c *stack.TCPConfig, pos script.Pos, name, value string) {
	n, err := strconv.ParseInt(value, 0, 32)
	on := err == nil && n != 0
	number := func() int64 {
		if err != nil {
			fail(pos, "sysctl %s: %q is no number", name, value)
		}
		return n
	}
	switch {
	case ignoredSysctls[name]:
	case on && alwaysOn[name]:
	case name == "net.ipv4.tcp_sack" || name == "net.inet.tcp.sack.enable":
		c.NoSACK = !on
	case name == "net.ipv4.tcp_recovery":
		c.NoRACK = !on
	case name == "net.ipv4.tcp_moderate_rcvbuf" || name == "net.inet.tcp.recvbuf_auto":
		c.NoAutotune = !on
	case name == "net.inet.tcp.recvbuf_max":
		c.ReceiveBuffer.Max = int(number()) / 2
	case name == "net.ipv4.tcp_congestion_control" || name == "net.inet.tcp.cc.algorithm":
		c.CongestionControl = strings.TrimPrefix(value, "new")
	case name == "net.ipv4.tcp_fin_timeout":
		c.FinWait2 = time.Duration(number()) * time.Second
	case name == "net.ipv4.tcp_rto_min_us":
		c.MinRTO = time.Duration(number()) * time.Microsecond
	case name == "net.ipv4.tcp_invalid_ratelimit":
		if c.InvalidRateLimit = time.Duration(number()) * time.Millisecond; n == 0 {
			c.InvalidRateLimit = -1
		}
	case name == "net.ipv4.tcp_rmem":
		c.ReceiveBuffer = r.bufferRange(pos, name, value, 2)
	case name == "net.ipv4.tcp_wmem":
		c.SendBuffer = r.bufferRange(pos, name, value, 1)
	default:
		unsupported(pos, "sysctl %s", name)
	}
}

// bufferRange reads three sizes, in memory units that make div of a byte.
func (r *run) bufferRange(pos script.Pos, name, value string, div int) stack.BufferRange {
	var n [3]int
	words := strings.Fields(value)
	for i := range n {
		var err error
		if len(words) == len(n) {
			n[i], err = strconv.Atoi(words[i])
		}
		if len(words) != len(n) || err != nil {
			fail(pos, "sysctl %s: %q is not three sizes", name, value)
		}
	}
	return stack.BufferRange{Min: n[0] / div, Default: n[1] / div, Max: n[2] / div}
}
