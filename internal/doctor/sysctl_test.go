package doctor

import (
	"testing"
	"testing/fstest"
)

func TestSysctls(t *testing.T) {
	for _, c := range []struct {
		file, value string
		status      Status
		fix         string
	}{
		{"net/ipv4/tcp_congestion_control", "bbr", Note, "sudo sysctl -w net.ipv4.tcp_congestion_control=cubic"},
		{"net/ipv4/tcp_congestion_control", "reno", OK, ""},
		{"net/core/rmem_max", "212991", Note, "sudo sysctl -w net.core.rmem_max=212992"},
		{"net/core/rmem_max", "4194304", OK, ""},
		{"net/core/rmem_max", "plenty", OK, ""}, // nothing to compare
		{"net/ipv4/tcp_rmem", "4096\t16384\t65536", Note, `sudo sysctl -w net.ipv4.tcp_rmem="4096 131072 6291456"`},
		{"net/ipv4/tcp_wmem", "4096 16384 33554432", OK, ""},
		{"net/core/netdev_max_backlog", "10", Note, "sudo sysctl -w net.core.netdev_max_backlog=1000"},
		{"net/core/busy_read", "50", Note, "sudo sysctl -w net.core.busy_read=0"},
		{"net/ipv6/conf/all/disable_ipv6", "1", Note, "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0"},
		{"net/ipv4/ip_forward", "1", OK, ""},
		{"user/max_user_namespaces", "0", Note, "sudo sysctl -w user.max_user_namespaces=10000"},
		{"kernel/unprivileged_userns_clone", "0", Note, "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{"kernel/unprivileged_userns_clone", "1", OK, ""},
		{"kernel/apparmor_restrict_unprivileged_userns", "1", Note, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		f := healthy()
		f.sysctls = settings(map[string]string{c.file: c.value})
		n := 0
		for _, got := range judgeSysctls(f) {
			if c.status == OK && got.Status == OK || got.Status == c.status && got.Fix == c.fix {
				n++
			} else if got.Status != OK {
				t.Errorf("%s is %s: %+v", c.file, c.value, got)
			}
		}
		if c.status != OK && n != 1 {
			t.Errorf("%s is %s: no %s with %q", c.file, c.value, c.status, c.fix)
		}
	}
}

// Without cubic, what every kernel has.
func TestCongestionFallback(t *testing.T) {
	f := healthy()
	f.sysctls = settings(map[string]string{"net/ipv4/tcp_available_congestion_control": "reno bbr"})
	if _, better := judgeCongestion("bbr", f); better != "reno" {
		t.Errorf("%q is recommended", better)
	}
}

func TestPingGroups(t *testing.T) {
	for _, c := range []struct {
		value string
		u     userFacts
		hurts bool
	}{
		{"1 0", userFacts{gid: 1000}, true},
		{"0 2147483647", userFacts{gid: 1000}, false},
		{"1000 1000", userFacts{gid: 1000}, false},
		{"1 0", userFacts{netRaw: true}, false},
		{"", userFacts{gid: 1000}, false},
	} {
		if hurts, _ := judgePing(c.value, &facts{user: c.u}); (hurts != "") != c.hurts {
			t.Errorf("%q, %+v: %q", c.value, c.u, hurts)
		}
	}
}

// What is not there is no error.
func TestAbsentSysctls(t *testing.T) {
	f := healthy()
	f.sysctls = fstest.MapFS{"net/core/rmem_max/a": {}} // a directory can not be read
	for _, got := range judgeSysctls(f) {
		want := "absent"
		if got.Name == "net.core.rmem_max" {
			want = "unreadable"
		}
		if got.Status != OK || got.Value != want || got.Detail == "" {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8": 5, "0,2-3,5": 4, "": 0, "3-1": 0, "all": 0} {
		if got := countCPUs(list); got != want {
			t.Errorf("%q: %d, want %d", list, got, want)
		}
	}
}

func TestParseRelease(t *testing.T) {
	for release, want := range map[string][2]int{"6.1.0-18-amd64": {6, 1}, "5.15": {5, 15}, "6.18.44-fc": {6, 18}} {
		if major, minor, ok := parseRelease(release); !ok || [2]int{major, minor} != want {
			t.Errorf("%q: %d.%d, %v", release, major, minor, ok)
		}
	}
	for _, release := range []string{"", "six", "6"} {
		if _, _, ok := parseRelease(release); ok {
			t.Errorf("%q is taken for a version", release)
		}
	}
}
