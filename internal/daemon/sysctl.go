package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapstack/stack"
)

// The TCP settings by Linux's sysctl names (tcp(7), ip-sysctl). Units are
// Linux's; buffers are payload bytes, as everywhere here.

// sysctl is one of them.
type sysctl struct {
	name, want string
	get        func(*stack.TCPConfig) string
	set        func(*stack.TCPConfig, string) bool
}

var sysctls = []sysctl{
	bufferSysctl("net.ipv4.tcp_rmem", func(c *stack.TCPConfig) *stack.BufferRange { return &c.ReceiveBuffer }),
	bufferSysctl("net.ipv4.tcp_wmem", func(c *stack.TCPConfig) *stack.BufferRange { return &c.SendBuffer }),
	{
		name: "net.ipv4.tcp_congestion_control", want: "cubic or reno",
		get: func(c *stack.TCPConfig) string { return c.CongestionControl },
		set: func(c *stack.TCPConfig, v string) bool {
			c.CongestionControl = v
			return v == "cubic" || v == "reno"
		},
	},
	switchSysctl("net.ipv4.tcp_sack", func(c *stack.TCPConfig) *bool { return &c.NoSACK }),
	switchSysctl("net.ipv4.tcp_recovery", func(c *stack.TCPConfig) *bool { return &c.NoRACK }),
	switchSysctl("net.ipv4.tcp_moderate_rcvbuf", func(c *stack.TCPConfig) *bool { return &c.NoAutotune }),
	timeSysctl("net.ipv4.tcp_fin_timeout", "seconds", time.Second, func(c *stack.TCPConfig) *time.Duration { return &c.FinWait2 }),
	timeSysctl("net.ipv4.tcp_rto_min_us", "microseconds", time.Microsecond, func(c *stack.TCPConfig) *time.Duration { return &c.MinRTO }),
	timeSysctl("net.ipv4.tcp_rto_max_ms", "milliseconds", time.Millisecond, func(c *stack.TCPConfig) *time.Duration { return &c.MaxRTO }),
}

// sysctlNames are the names there are.
func sysctlNames() []string {
	var names []string
	for _, s := range sysctls {
		names = append(names, s.name)
	}
	return names
}

// setSysctl sets one in c.
func setSysctl(c *stack.TCPConfig, name, value string) error {
	for _, s := range sysctls {
		if s.name != name {
			continue
		}
		if !s.set(c, strings.TrimSpace(value)) {
			return fmt.Errorf("%s = %q: want %s", name, value, s.want)
		}
		return nil
	}
	hint := "known are " + strings.Join(sysctlNames(), ", ")
	if n := nearest(name, sysctlNames()); n != "" {
		hint = "did you mean \"" + n + "\"?"
	}
	return fmt.Errorf("unknown key %q in [tcp]: %s", name, hint)
}

// setSysctls sets several, in an order that does not depend on the map's.
func setSysctls(c *stack.TCPConfig, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := setSysctl(c, name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// allSysctls reads c.
func allSysctls(c stack.TCPConfig) map[string]string {
	out := make(map[string]string)
	for _, s := range sysctls {
		out[s.name] = s.get(&c)
	}
	return out
}

func bufferSysctl(name string, field func(*stack.TCPConfig) *stack.BufferRange) sysctl {
	return sysctl{
		name: name, want: "three numbers of bytes, such as \"4096 131072 4194304\": smallest, default, largest",
		get: func(c *stack.TCPConfig) string {
			r := field(c)
			return fmt.Sprintf("%d %d %d", r.Min, r.Default, r.Max)
		},
		set: func(c *stack.TCPConfig, v string) bool {
			f := strings.Fields(v)
			if len(f) != 3 {
				return false
			}
			var n [3]int
			for i := range f {
				var err error
				if n[i], err = strconv.Atoi(f[i]); err != nil {
					return false
				}
			}
			*field(c) = stack.BufferRange{Min: n[0], Default: n[1], Max: n[2]}
			return n[0] > 0 && n[0] <= n[1] && n[1] <= n[2] && n[2] <= 1<<30
		},
	}
}

// switchSysctl is one that is 0 where the field is true.
func switchSysctl(name string, off func(*stack.TCPConfig) *bool) sysctl {
	return sysctl{
		name: name, want: "0 or 1",
		get: func(c *stack.TCPConfig) string {
			if *off(c) {
				return "0"
			}
			return "1"
		},
		set: func(c *stack.TCPConfig, v string) bool {
			*off(c) = v == "0"
			return v == "0" || v == "1"
		},
	}
}

func timeSysctl(name, unitName string, unit time.Duration, field func(*stack.TCPConfig) *time.Duration) sysctl {
	return sysctl{
		name: name, want: "a number of " + unitName + " up to an hour",
		get: func(c *stack.TCPConfig) string { return strconv.FormatInt(int64(*field(c)/unit), 10) },
		set: func(c *stack.TCPConfig, v string) bool {
			n, err := strconv.ParseInt(v, 10, 64)
			*field(c) = time.Duration(n) * unit
			return err == nil && n > 0 && n <= int64(time.Hour/unit)
		},
	}
}
