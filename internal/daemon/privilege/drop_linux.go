package privilege

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// drop: each step needs something that the steps before it have left.
func drop(cfg Config) (r Report, err error) {
	id, err := lookUp(cfg)
	if err != nil {
		return r, err
	}
	// Everything is done to all threads, and read back from all of them; but
	// seccomp's flag for that takes the caller's no_new_privs as its measure.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := dropBounding(); err != nil {
		r.note("capability bounding set: kept, for want of CAP_SETPCAP (%v)", err)
	}
	if err := id.become(); err != nil {
		return r, err
	}
	if err := dropCapabilities(); err != nil {
		return r, err
	}
	if err := allThreads("prctl(PR_SET_NO_NEW_PRIVS)", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return r, err
	}
	if err := restrictFiles(cfg, &r); err != nil {
		return r, err
	}
	if err := filterCalls(cfg.Seccomp, &r); err != nil {
		return r, err
	}
	if err := inspect(&r); err != nil {
		return r, err
	}
	return r, r.check(id)
}

// Look says what the system offers.
func Look() (p Probe) {
	p.LandlockABI, p.Landlock = landlockABI()
	p.Seccomp = askSeccomp()
	return p
}

// unsupported is the answer to a mode: an error if it is Required, a note
// otherwise.
func (r *Report) unsupported(m Mode, what string, why error) error {
	if m == Required {
		return fmt.Errorf("%s is required: %w (%w)", what, why, errors.ErrUnsupported)
	}
	r.note("%s: not in force: %v", what, why)
	return nil
}
