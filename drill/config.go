package drill

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Config says how scripts are run. The zero value is strict, Linux, and the IP
// version that each script asks for.
type Config struct {
	Mode    Mode
	Profile Profile

	// IP overrides the IP version of every script, unless it is empty: "ipv4",
	// "ipv6" or "ipv4-mapped-ipv6".
	IP string

	// Defines are macros for the preprocessor, beside those of the profile.
	Defines map[string]string

	// Sysctls are settings of Linux's or FreeBSD's, as NAME=VALUE, that are in
	// force before what a script itself sets. One that is not known makes every
	// script Unsupported.
	Sysctls []string

	// Seed fixes all randomness of the stacks: the same seed gives the same
	// frames at the same instants.
	Seed uint64

	// WallLimit bounds the real time of one script, 10 s by default and 90 s
	// with RealTime; Steps the number of timers and events, a million by
	// default.
	WallLimit time.Duration
	Steps     int

	// RealTime, if not nil, lets time pass as it does: the stack's timers are
	// the machine's, and packets go over devices. A script that would take
	// longer than WallLimit is Unsupported, without being tried.
	RealTime *RealTime

	// Tolerance is the least that a time may be off. 0 is 4 ms, and 40 ms with
	// RealTime, where whoever else needs the CPU is seen in it.
	Tolerance time.Duration

	// Capture, if not nil, gives a writer for a pcapng file of what passed a
	// host's wire. Run closes it.
	Capture func(host string) (io.WriteCloser, error)

	done <-chan struct{} // a Suite's: closed when its scripts are to end early
}

const (
	defaultWallLimit = 10 * time.Second
	realWallLimit    = 90 * time.Second
	realTolerance    = 40 * time.Millisecond
	defaultSteps     = 1_000_000
)

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.WallLimit == 0 {
		if d.WallLimit = defaultWallLimit; d.RealTime != nil {
			d.WallLimit = realWallLimit
		}
	}
	if d.Tolerance == 0 && d.RealTime != nil {
		d.Tolerance = realTolerance
	}
	if d.Steps == 0 {
		d.Steps = defaultSteps
	}
	return d
}

// Mode is a set of liberties in matching outbound packets; 0 is strict.
type Mode uint8

// The liberties.
const (
	// IgnorePSH does not compare the PSH flag.
	IgnorePSH Mode = 1 << iota
	// IgnoreOptionOrder compares TCP options as a set, without NOP and EOL.
	IgnoreOptionOrder
	// SkipExtraACKs passes over segments that say nothing but ACK, where they
	// are not what is expected.
	SkipExtraACKs
	// AllowEarly takes a packet that came before its time.
	AllowEarly
	// StrictEnd, unlike the others, is stricter: packets that nobody expected
	// and that are left at the end fail the script.
	StrictEnd
)

var modeNames = []struct {
	name string
	mode Mode
}{
	{"psh", IgnorePSH}, {"optorder", IgnoreOptionOrder}, {"extra-ack", SkipExtraACKs},
	{"early", AllowEarly}, {"strict-end", StrictEnd},
}

// ParseMode reads names separated by commas: strict, psh, optorder, extra-ack,
// early, strict-end.
func ParseMode(s string) (Mode, error) {
	var m Mode
next:
	for name := range strings.SplitSeq(s, ",") {
		if name == "strict" || name == "" {
			continue
		}
		for _, n := range modeNames {
			if n.name == name {
				m |= n.mode
				continue next
			}
		}
		return 0, fmt.Errorf("mode %q: want strict, psh, optorder, extra-ack, early or strict-end, separated by commas", name)
	}
	return m, nil
}

// String is the mode as ParseMode reads it.
func (m Mode) String() string {
	var names []string
	for _, n := range modeNames {
		if m&n.mode != 0 {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "strict"
	}
	return strings.Join(names, ",")
}

// Profile is whose system a script was written for: its constants and its
// defaults.
type Profile uint8

// The profiles.
const (
	Linux    Profile = iota // Linux's constants; window scale 8
	FreeBSD                 // FreeBSD's constants; window scale 6; STANDARD is defined
	Tapstack                // Linux's constants; the defaults of package stack
)

var profileNames = []string{"linux", "freebsd", "tapstack"}

// ParseProfile reads a profile's name.
func ParseProfile(s string) (Profile, error) {
	for i, name := range profileNames {
		if s == name {
			return Profile(i), nil
		}
	}
	return 0, fmt.Errorf("profile %q: want %s", s, strings.Join(profileNames, ", "))
}

// String is the profile's name.
func (p Profile) String() string {
	if int(p) < len(profileNames) {
		return profileNames[p]
	}
	return fmt.Sprintf("Profile(%d)", uint8(p))
}
