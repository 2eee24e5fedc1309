package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// healthy are the facts of a machine on which nothing is to be changed, asked
// by root.
func healthy() *facts {
	f := &facts{
		system:  "linux",
		user:    userFacts{name: "root", netAdmin: true, netRaw: true},
		tun:     tunFacts{mode: "mode 0666, owner root (uid 0)"},
		private: &private{Tries: []try{{Name: defaultTry, Got: true, Is: "offload: csum tso4 tso6 uso ecn"}}},
		machine: machineFacts{release: "6.12.1", cpus: 2, online: 2, maxProcs: 2},
		sysctls: settings(nil),

		privileges: privilegeFacts{landlockABI: 7, become: "tapstack", root: true},
	}
	for _, o := range offloads {
		f.private.Tries = append(f.private.Tries, try{Name: o.name, Got: true})
	}
	return f
}

// settings are /proc/sys of that machine, but for some.
func settings(but map[string]string) fstest.MapFS {
	all := map[string]string{
		"net/ipv4/tcp_congestion_control":           "cubic",
		"net/ipv4/tcp_available_congestion_control": "reno cubic",
		"net/core/rmem_max":                         "212992",
		"net/core/wmem_max":                         "212992",
		"net/ipv4/tcp_rmem":                         "4096\t131072\t6291456",
		"net/ipv4/tcp_wmem":                         "4096\t16384\t4194304",
		"net/core/netdev_max_backlog":               "1000",
		"net/core/busy_read":                        "0",
		"net/ipv6/conf/all/disable_ipv6":            "0",
		"net/ipv6/conf/default/disable_ipv6":        "0",
		"net/ipv4/ip_forward":                       "0",
		"net/ipv4/ping_group_range":                 "1\t0",
		"user/max_user_namespaces":                  "96365",
		"kernel/io_uring_disabled":                  "0",
	}
	maps.Copy(all, but)
	proc := make(fstest.MapFS)
	for name, value := range all {
		proc[name] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
	return proc
}

// ordinary makes f what an ordinary user sees there.
func ordinary(f *facts) {
	f.user = userFacts{uid: 1000, gid: 1000, name: "ann"}
	f.tun.asked = syscall.EPERM
	f.private.Foreign = true
	f.privileges.root, f.privileges.become = false, ""
	f.privileges.whyNot = errors.New("not started as root")
}

// refused makes f one without a private namespace.
func refused(f *facts) {
	f.private = &private{Refused: "clone: operation not permitted", Remedy: "allow them"}
}

// change makes f one whose try of that name turned out otherwise.
func change(f *facts, to try) {
	for i, t := range f.private.Tries {
		if t.Name == to.Name {
			f.private.Tries[i] = to
		}
	}
}

func TestExamine(t *testing.T) {
	for _, c := range []struct {
		name    string
		make    func(*facts)
		ok      bool
		verdict string   // how it begins
		worse   []string // "status name" of all that is not ok, in order
	}{
		{"all is well", func(*facts) {}, true, "Everything the fast path needs is here.", nil},
		{"one note", func(f *facts) { f.machine.cpus = 1 }, true,
			"Everything the fast path needs is here; one line above says", []string{"note CPUs"}},
		{"quota of one CPU", func(f *facts) {
			f.machine.maxProcs = 1
			f.sysctls = settings(map[string]string{"net/core/busy_read": "50"})
		}, true,
			"Everything the fast path needs is here; 2 lines above say", []string{"note CPUs", "note net.core.busy_read"}},
		{"ordinary user", func(f *facts) { ordinary(f); f.user.netRaw = true }, true,
			"A TAP can be had in a private namespace only: ", []string{"note CAP_NET_ADMIN", "note TAP in this namespace"}},
		{"ordinary user, closed file", func(f *facts) {
			ordinary(f)
			f.user.netRaw, f.tun.open = true, syscall.EACCES
			f.private.Tries = []try{{Name: defaultTry, Why: "permission denied"}}
		}, false, "No TAP can be had here: /dev/net/tun does not open; ",
			[]string{"note CAP_NET_ADMIN", "problem /dev/net/tun", "note each of them"}},
		{"ordinary user, no namespaces", func(f *facts) { ordinary(f); refused(f); f.user.netRaw = true }, false,
			"No TAP can be had here: user namespace refused; ",
			[]string{"note CAP_NET_ADMIN", "problem user namespace", "problem network namespace",
				"note TAP in this namespace", "note TAP in a private namespace", "note each of them"}},
		{"ordinary user with a TAP of his own", func(f *facts) {
			ordinary(f)
			refused(f)
			f.user.netRaw = true
			f.taps = []tapFacts{{name: "hers", owner: 1001, group: nobody, persistent: true, up: true, txQueueLen: 4096},
				{name: "his", owner: 1000, group: nobody, persistent: true, up: true, txQueueLen: 4096}}
		}, true, "No new TAP can be had here, but his can be taken over.",
			[]string{"note CAP_NET_ADMIN", "problem user namespace", "problem network namespace",
				"note TAP in this namespace", "note TAP in a private namespace", "note each of them"}},
		{"root in a container that may not unshare", refused, true, "A TAP may be made here; what it can do was not tried",
			[]string{"note user namespace", "note network namespace", "note TAP in a private namespace", "note each of them"}},
		{"root of a user namespace alone", func(f *facts) { f.tun.asked = syscall.EPERM }, true,
			"A TAP can be had in a private namespace only: ", []string{"note CAP_NET_ADMIN", "note TAP in this namespace"}},
		{"no driver", func(f *facts) {
			f.tun = tunFacts{open: syscall.ENOENT}
			f.private.Tries = []try{{Name: defaultTry, Why: "no such file or directory"}}
		}, false, "No TAP can be had here: /dev/net/tun does not open; ", []string{"problem /dev/net/tun", "note each of them"}},
		{"permission without success", func(f *facts) {
			f.private.Tries = []try{{Name: defaultTry, Why: "netlink: not permitted"}}
		}, false, "No TAP can be had here: TAP in a private namespace was not made; ",
			[]string{"problem TAP in a private namespace", "note each of them"}},
		{"no USO", func(f *facts) {
			f.machine.release = "6.1.0-18-amd64"
			change(f, try{Name: "uso", Is: "offload: csum"})
			change(f, try{Name: defaultTry, Got: true, Is: "offload: csum tso4 tso6 ecn", Why: "the kernel has no more than that"})
		}, true, "A TAP can be had, but not the fast path: the default is offload: csum tso4 tso6 ecn.",
			[]string{"note uso", "note active by default"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.make(f)
			r := examine(f)
			if r.OK != c.ok || !strings.HasPrefix(r.Verdict, c.verdict) {
				t.Errorf("OK %v, %q\nwant %v, %q", r.OK, r.Verdict, c.ok, c.verdict)
			}
			if got := worse(r); fmt.Sprint(got) != fmt.Sprint(c.worse) {
				t.Errorf("not ok:\n%q\nwant\n%q", got, c.worse)
			}
		})
	}
}

// worse lists what is not ok.
func worse(r *Report) (list []string) {
	for _, f := range r.Findings {
		if f.Status != OK {
			list = append(list, string(f.Status)+" "+f.Name)
		}
	}
	return list
}

// Every problem says what to do about it, or the one before it does.
func TestProblemsHaveFixes(t *testing.T) {
	for _, open := range []error{syscall.ENOENT, syscall.ENODEV, syscall.EACCES, syscall.EPERM} {
		f := healthy()
		f.tun.open = open
		for _, one := range judgeDevice(f) {
			if one.Fix == "" {
				t.Errorf("%v: %s: nothing to do about %q", open, one.Name, one.Detail)
			}
		}
	}
}

func TestElsewhere(t *testing.T) {
	r := examine(&facts{system: "darwin"})
	if r.OK || len(r.Findings) != 1 || !strings.Contains(r.Verdict, "darwin") {
		t.Errorf("%+v", r)
	}
}

func TestTAPs(t *testing.T) {
	f := healthy()
	f.taps = []tapFacts{
		{name: "tap0", owner: nobody, group: nobody, persistent: true, up: true, inUse: true, mtu: 1500, txQueueLen: 1000},
		{name: "tap1", owner: 0, group: 7, multiQueue: true, queues: 2, mtu: 9000, txQueueLen: 4096, txDrops: 3, inUse: true},
	}
	got := judgeTAPs(f)
	if got[0].Fix != "sudo ip link set tap0 txqueuelen 4096" || got[0].Value != "up, persistent, in use" || !strings.HasPrefix(got[0].Detail, "no owner: anyone may take it over, ") {
		t.Errorf("%+v", got[0])
	}
	if got[1].Status != Note || !strings.Contains(got[1].Detail, "dropped 3 toward us") || !strings.HasPrefix(got[1].Detail, "owner uid 0, group gid 7, ") || got[1].Value != "down, temporary, multi_queue, in use 2 times" {
		t.Errorf("%+v", got[1])
	}
	if name := f.adoptable(); name != "" {
		t.Errorf("%s is in use, and to be taken over", name)
	}
	f.tapsErr = errors.New("netlink is not there")
	if got := judgeTAPs(f); len(got) != 1 || got[0].Status != Note {
		t.Errorf("%+v", got)
	}
}

func TestWriteText(t *testing.T) {
	r := &Report{Verdict: "It could be worse.", Findings: []Finding{
		{Group: "one", Name: "a", Status: OK, Value: "yes", Detail: "all is well"},
		{Group: "one", Name: "long", Status: Note, Value: "n", Detail: "so so", Fix: "sudo it"},
		{Group: "one", Name: "b", Status: OK, Value: "a value that is longer than its column", Detail: "fine"},
		{Group: "two", Name: "c", Status: Problem, Value: "no"},
	}}
	const want = `one
  ok       a     yes  all is well
  note     long  n    so so
           -> sudo it
  ok       b     a value that is longer than its column  fine

two
  PROBLEM  c  no

It could be worse.
`
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil || b.String() != want {
		t.Errorf("%v, got\n%swant\n%s", err, b.String(), want)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := examine(healthy()).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK       bool
		Findings []map[string]string
	}
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || !got.OK || dec.More() {
		t.Fatalf("%v, %+v", err, got)
	}
	for _, f := range got.Findings {
		for _, key := range []string{"group", "name", "status", "value", "detail", "fix"} {
			if _, ok := f[key]; !ok || len(f) != 6 {
				t.Errorf("%v: want six keys, %q among them", f, key)
			}
		}
	}
}
