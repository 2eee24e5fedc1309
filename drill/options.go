package drill

import (
	"strconv"
	"strings"
	"time"

	"tapstack/drill/script"
	"tapstack/stack"
)

// options is what a script's head, its first shell lines and the profile say
// of how it is to be run.
type options struct {
	ip             string // ipv4, ipv6 or ipv4-mapped-ipv6
	mtu            int
	tolerance      time.Duration
	tsTick         int64 // microseconds of one tick of TS val; 0 does not compare it
	strictSegments bool
	tcp            stack.TCPConfig
}

const (
	defaultTolerance = 4 * time.Millisecond
	ethernetMTU      = 1500
	linuxMTU6        = 1520 // so that the MSS is 1460 with IPv6 too
)

// readOptions reads the head of the script.
func (r *run) readOptions() options {
	o := options{ip: "ipv4", tolerance: defaultTolerance, tcp: r.cfg.Profile.tcp()}
	for _, opt := range r.script.Options {
		r.pos = opt.Pos
		r.option(&o, opt)
	}
	o.tolerance = max(o.tolerance, r.cfg.Tolerance)
	if r.cfg.IP != "" {
		r.otherVersion(o.ip)
		o.ip = r.cfg.IP
	}
	if o.ip != "ipv4" && o.ip != "ipv6" && o.ip != "ipv4-mapped-ipv6" {
		fail(r.pos, "IP version %q: want ipv4, ipv6 or ipv4-mapped-ipv6", o.ip)
	}
	if o.mtu == 0 {
		o.mtu = ethernetMTU
		if o.ip == "ipv6" && r.cfg.Profile == Linux {
			o.mtu = linuxMTU6
		}
	}
	for _, s := range r.cfg.Sysctls {
		r.setting(&o.tcp, r.pos, s)
	}
	for _, e := range r.script.Events {
		sh, ok := e.Action.(*script.Shell)
		if !ok {
			break
		}
		r.pos = e.Pos
		r.configure(&o.tcp, sh)
	}
	return o
}

// otherVersion ends a script that cannot be run over another version of IP than
// the one it was written for.
func (r *run) otherVersion(written string) {
	if (r.cfg.IP == "ipv6") == (written == "ipv6") {
		return
	}
	_, explicit := r.script.Option("ip_version")
	if r.frames() || explicit && len(r.script.Hosts) == 0 && r.cfg.IP != written {
		unsupported(r.pos, "this script over %s: it was written for %s", r.cfg.IP, written)
	}
}

func (r *run) option(o *options, opt *script.Option) {
	number := func(low, high int64) int64 {
		n, err := strconv.ParseInt(opt.Value, 0, 64)
		if err != nil || n < low || n > high {
			fail(opt.Pos, "--%s=%s: want a number from %d to %d", opt.Name, opt.Value, low, high)
		}
		return n
	}
	const (
		maxMTU = 65535
		hour   = 3600 * 1000 * 1000
	)
	switch opt.Name {
	case "ip_version":
		o.ip = strings.ReplaceAll(opt.Value, "_", "-")
	case "mtu":
		o.mtu = int(number(68, maxMTU))
	case "tolerance_usecs":
		o.tolerance = time.Duration(number(0, hour)) * time.Microsecond
	case "tcp_ts_tick_usecs":
		o.tsTick = number(0, hour)
	case "strict_segments":
		o.strictSegments = opt.Value == "" || opt.Value == "1" || opt.Value == "true"
	case "non_fatal", "verbose", "debug", "v":
		// They change what packetdrill prints.
	default:
		names := []string{"ip_version", "mtu", "tolerance_usecs", "tcp_ts_tick_usecs", "strict_segments"}
		if known := similar(opt.Name, names); known != "" {
			fail(opt.Pos, "there is no option --%s: is it --%s?", opt.Name, known)
		}
		unsupported(opt.Pos, "option --%s", opt.Name)
	}
}

// tcp is what a system of the profile begins with. Sizes are payload bytes:
// half of what gVisor counts, by which it chooses the window scale.
func (p Profile) tcp() stack.TCPConfig {
	// Every unacceptable segment is answered: scripts send them in a row.
	c := stack.TCPConfig{InvalidRateLimit: -1}
	switch p {
	case Linux:
		c.ReceiveBuffer = stack.BufferRange{Min: 2 << 10, Default: 270_000, Max: 15 << 19} // window scale 8
	case Tapstack:
	case FreeBSD:
		c.ReceiveBuffer = stack.BufferRange{Min: 2 << 10, Default: 64 << 10, Max: 1 << 20} // window scale 6
	}
	return c
}
