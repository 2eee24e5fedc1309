package life

import (
	"fmt"
	"os"
	"strings"
)

// Claim is the right to be the one daemon of a name, in a lock file: no two
// processes have it at a time, and it ends with the process that has it, however
// that ends. The file stays; only the lock on it means something.
//
// It is what makes taking over free of races. Who has the claim may remove what
// is left of the one before: that one is no more.
type Claim struct {
	file *os.File

	// Left says that the process before did not [Claim.Release] its claim: it
	// was killed, and has left its socket and its persistent TAPs. PID is its
	// number then.
	Left bool
	PID  int
}

// RunningError says who has the claim.
type RunningError struct {
	Path string
	PID  int // 0 if it has not said so yet
}

// Error is one line.
func (e *RunningError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s: another one is running", e.Path)
	}
	return fmt.Sprintf("%s: another one is running, process %d: stop it, or choose another control socket", e.Path, e.PID)
}

// owner is what the lock file says: a process, told from later ones with its
// number by when it began (field 22 of /proc/PID/stat, clock ticks since boot).
type owner struct {
	pid   int
	began uint64
}

func (o owner) String() string { return fmt.Sprintf("%d %d\n", o.pid, o.began) }

// parseOwner is the zero owner for anything that is not one.
func parseOwner(text string) (o owner) {
	var rest string
	n, _ := fmt.Sscanf(strings.TrimSpace(text)+" .", "%d %d %s", &o.pid, &o.began, &rest)
	if n != 3 || rest != "." || o.pid <= 0 {
		return owner{}
	}
	return o
}
