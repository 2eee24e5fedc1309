package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// Mode is how much a protection is insisted on.
type Mode uint8

// The modes.
const (
	BestEffort Mode = iota // as far as the kernel has it; the report says how far
	Required               // Drop fails without it
	Off                    // not used; the report says so

	// Log is for finding out what Seccomp's list lacks: nothing is refused,
	// and what would be goes into the audit log.
	Log
)

// String is the mode as a configuration file has it.
func (m Mode) String() string {
	switch m {
	case BestEffort:
		return "auto"
	case Required:
		return "required"
	case Off:
		return "off"
	case Log:
		return "log"
	default:
		return fmt.Sprintf("Mode(%d)", uint8(m))
	}
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: auto, required, off, log.
func (m *Mode) UnmarshalText(text []byte) error {
	for _, mode := range []Mode{BestEffort, Required, Off, Log} {
		if string(text) == mode.String() {
			*m = mode
			return nil
		}
	}
	return fmt.Errorf("%q: choose auto, required, off or, for seccomp, log", text)
}

// Config says what is left.
type Config struct {
	// User to become, by name or number; "" stays the same user, who loses
	// his capabilities only. Root is refused: uid 0 owns most files, with and
	// without capabilities.
	User string

	// Group to become, by name or number; "" is the user's own. Groups are
	// supplementary groups to be in besides; all others are left.
	Group  string
	Groups []string

	// Read lists files and directories (with all below) that may be opened
	// for reading; Write directories in which files and sockets may be made,
	// changed and removed besides. What does not exist is left out, and the
	// report says so. Landlock enforces it; nothing may be executed anywhere.
	// This process's own directory in /proc can always be read.
	//
	// A rule is on the file that is there now. Give the directory of a file
	// that editors replace.
	Read, Write []string

	// Landlock limits the file system, signals to and abstract sockets of
	// other processes; Seccomp the system calls. Landlock has no Log.
	Landlock, Seccomp Mode
}

// Report is what is in force.
type Report struct {
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups"`

	// Capabilities are those that any thread still has in any of its
	// effective, permitted, inheritable and ambient sets: 0 after every
	// successful Drop. Bounding is the bounding set, 0 as well if the process
	// had CAP_SETPCAP to empty it. Both as the kernel numbers them.
	Capabilities uint64 `json:"capabilities"`
	Bounding     uint64 `json:"bounding"`

	NoNewPrivs bool `json:"no_new_privs"`

	// Calls is how many system calls are allowed, 0 without a filter that
	// refuses the others.
	Seccomp bool `json:"seccomp"`
	Calls   int  `json:"calls"`

	// LandlockABI is what of Landlock is in use, 0 for nothing.
	LandlockABI int      `json:"landlock_abi"`
	Read        []string `json:"read"`
	Write       []string `json:"write"`

	// Threads is how many were looked at. Those to come inherit all of it.
	Threads int `json:"threads"`

	// Notes say what is not in force, and why.
	Notes []string `json:"notes"`
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// ErrDropped says that a process drops its privileges once.
var ErrDropped = errors.New("privileges have been dropped before")

// NeedsPrivilege says that what was asked for could be done only before the
// drop. It is fs.ErrPermission.
type NeedsPrivilege struct {
	Op    string // what was asked for: "make TAP tap1"
	Needs string // what is missing: "CAP_NET_ADMIN"
	Err   error  // the system's answer; nil if it was not asked
}

// Error says what, why and what to do.
func (e *NeedsPrivilege) Error() string {
	return e.Reason() + ": put it into the configuration and restart"
}

// Reason says what and why.
func (e *NeedsPrivilege) Reason() string {
	text := e.Op + ": needs " + e.Needs + ", which this process has given up after its start"
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

// Unwrap gives the system's answer.
func (e *NeedsPrivilege) Unwrap() error { return e.Err }

// Is makes it fs.ErrPermission, whatever the system said.
func (e *NeedsPrivilege) Is(target error) bool { return target == fs.ErrPermission }

// state is of the process, as privileges are.
var state struct {
	sync.Mutex
	dropped bool
}

// Dropped reports whether Drop has succeeded in this process.
func Dropped() bool {
	state.Lock()
	defer state.Unlock()
	return state.dropped
}

// Check is nil before the drop. After it, it is the *NeedsPrivilege for op:
// for what is known to be impossible, so that nothing is half done.
func Check(op, needs string) error {
	if !Dropped() {
		return nil
	}
	return &NeedsPrivilege{Op: op, Needs: needs}
}

// Explain makes a refusal by the system, after the drop, a *NeedsPrivilege. All
// other errors it returns as they are, nil included.
func Explain(op, needs string, err error) error {
	var already *NeedsPrivilege
	if !errors.Is(err, fs.ErrPermission) || errors.As(err, &already) || !Dropped() {
		return err
	}
	return &NeedsPrivilege{Op: op, Needs: needs, Err: err}
}

// Drop gives up all that cfg does not keep, in every thread there is and will
// be, for good. It comes after everything has been opened, and may come while
// other goroutines work.
//
// An error may have left the process with some of it done; end it. With a
// user given it is never left with more than it had. Errors: an unknown user
// or group by name; ErrDropped; a *NeedsPrivilege if this process may not
// change its user; errors.ErrUnsupported for a protection that is Required
// and that the kernel does not have, and on other systems than Linux.
func Drop(cfg Config) (Report, error) {
	state.Lock()
	defer state.Unlock()
	if state.dropped {
		return Report{}, ErrDropped
	}
	if cfg.Landlock == Log {
		return Report{}, errors.New("dropping privileges: Landlock can not only log: choose auto, required or off")
	}
	r, err := drop(cfg)
	if err != nil {
		return Report{}, fmt.Errorf("dropping privileges: %w", err)
	}
	state.dropped = true
	return r, nil
}

// Probe is what the system offers, for those who want to know before.
type Probe struct {
	// LandlockABI is the kernel's version of Landlock's interface, 0 with why
	// in Landlock if there is none.
	LandlockABI int
	Landlock    error
	// Seccomp is nil if a filter for system calls can be had.
	Seccomp error
}
