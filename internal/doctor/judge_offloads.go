package doctor

import (
	"fmt"
	"strings"
)

// realKernel: any Linux that Go runs on has all but USO and several queues.
const realKernel = "use a Linux kernel proper: here a sandbox's stands in, or a very old one"

// offloads says what each try is about, and what to do where it failed.
var offloads = []struct{ name, meaning, fix string }{
	{"virtio-net header", "says how a frame is offloaded; all but the plain driver need it", realKernel},
	{"csum", "checksums are left to whoever puts the frame on a wire", realKernel},
	{"tso4", "up to 64 KiB of TCP over IPv4 in one frame", realKernel},
	{"tso6", "up to 64 KiB of TCP over IPv6 in one frame", realKernel},
	{"ecn", "large TCP frames may carry CWR", realKernel},
	{"uso", "many UDP datagrams in one frame, both IPv4 and IPv6", "use Linux 6.2 or later"},
	{"multi-queue", "two queues were opened; each flow stays on one", "use Linux 3.8 or later, or one queue"},
	{"plain driver", "one frame a system call, as on a wire; the fallback", ""},
}

// judgeOffloads is about what a TAP can do.
func judgeOffloads(f *facts) []Finding {
	const group = "offloads"
	def := f.private.find(defaultTry)
	if f.private.Refused != "" || !def.Got {
		return []Finding{{Group: group, Name: "each of them", Status: Note, Value: "not tried",
			Detail: "no TAP could be made in a private namespace, see above"}}
	}
	var out []Finding
	for _, o := range offloads {
		t := f.private.find(o.name)
		one := Finding{Group: group, Name: o.name, Status: OK, Value: yesNo(t.Got), Detail: o.meaning}
		if !t.Got {
			one.Status, one.Fix = Note, o.fix
			if t.Why != "" {
				one.Detail += "; " + t.Why
			}
		}
		out = append(out, one)
	}
	active := Finding{Group: group, Name: "active by default", Status: OK, Value: def.Is,
		Detail: "what run, demo and tap.Open(nil) use"}
	if def.Why != "" {
		active.Status, active.Detail = Note, "no more than that: "+def.Why
	}
	return append(out, active)
}

// verdict is all findings in a sentence, and whether a TAP can be had.
func verdict(f *facts, all []Finding) (ok bool, sentence string) {
	def := f.private.find(defaultTry)
	private := f.private.Refused == "" && def.Got
	switch {
	case f.here() && !private:
		return true, "A TAP may be made here; what it can do was not tried, for want of a private namespace."
	case f.here() && def.Why != "":
		return true, "A TAP can be had, but not the fast path: the default is " + def.Is + "."
	case f.here():
		return true, "Everything the fast path needs is here" + reservations(all) + "."
	case f.adoptable() != "":
		return true, fmt.Sprintf("No new TAP can be had here, but %s can be taken over.", f.adoptable())
	case private:
		return true, "A TAP can be had in a private namespace only: \"tapstack demo\" makes its own, \"unshare -rn tapstack run ...\" runs in one; in this one, as root or with CAP_NET_ADMIN."
	}
	return false, "No TAP can be had here: " + obstacle(all) + "; \"tapstack demo --device pipe\" does without."
}

// reservations counts what is not as it should be.
func reservations(all []Finding) string {
	n := 0
	for _, f := range all {
		if f.Status != OK {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "; one line above says what could be better"
	}
	return fmt.Sprintf("; %d lines above say what could be better", n)
}

// obstacle names what is in the way: every problem, in the order in which they
// are to be solved.
func obstacle(all []Finding) string {
	var names []string
	for _, f := range all {
		// That one only follows from the user namespace's.
		if f.Status == Problem && f.Name != "network namespace" {
			names = append(names, f.Name+" "+f.Value)
		}
	}
	if names == nil {
		return "no way was found"
	}
	return strings.Join(names, ", ")
}
