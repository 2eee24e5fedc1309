package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// status is what /proc says of one thread (proc(5)).
type status struct {
	uid, gid   [4]int // real, effective, saved, file system
	groups     []int
	caps       uint64 // CapInh | CapPrm | CapEff | CapAmb
	bounding   uint64
	noNewPrivs bool
	filtered   bool
}

// inspect looks at every thread, so that the report is what is and not what was
// asked for. A thread that comes to be meanwhile is like the one that made it.
func inspect(r *Report) error {
	const dir = "/proc/self/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	r.NoNewPrivs, r.Seccomp = true, true
	for _, task := range tasks {
		text, err := os.ReadFile(dir + "/" + task.Name() + "/status")
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		st, err := parseStatus(string(text))
		if err != nil {
			return fmt.Errorf("thread %s: %w", task.Name(), err)
		}
		if err := r.add(st); err != nil {
			return fmt.Errorf("thread %s: %w", task.Name(), err)
		}
	}
	return nil
}

// gone is a thread that has ended: before its file was opened, or after.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process")
}

// add has the report be true of one more thread.
func (r *Report) add(st status) error {
	if r.Threads == 0 {
		r.UID, r.GID, r.Groups = st.uid[0], st.gid[0], st.groups
	}
	r.Threads++
	if st.uid != [4]int{r.UID, r.UID, r.UID, r.UID} || st.gid != [4]int{r.GID, r.GID, r.GID, r.GID} ||
		fmt.Sprint(st.groups) != fmt.Sprint(r.Groups) {
		return fmt.Errorf("users %v, groups %v %v, where others have %d, %d %v", st.uid, st.gid, st.groups, r.UID, r.GID, r.Groups)
	}
	r.Capabilities |= st.caps
	r.Bounding |= st.bounding
	r.NoNewPrivs = r.NoNewPrivs && st.noNewPrivs
	r.Seccomp = r.Seccomp && st.filtered
	return nil
}

// check compares with what was to be.
func (r *Report) check(id identity) error {
	switch {
	case r.UID != id.uid || r.GID != id.gid:
		return fmt.Errorf("still user %d, group %d", r.UID, r.GID)
	case !id.same && len(r.Groups) != len(id.groups):
		return fmt.Errorf("still in the groups %v", r.Groups)
	case r.Capabilities != 0:
		return fmt.Errorf("still with capabilities %#x", r.Capabilities)
	case !r.NoNewPrivs:
		return errors.New("no_new_privs is not set everywhere")
	case r.Calls > 0 && !r.Seccomp:
		return errors.New("seccomp: a thread is without the filter")
	}
	return nil
}

func parseStatus(text string) (st status, err error) {
	seen := 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch key {
		case "Uid":
			err = ids(st.uid[:], fields)
		case "Gid":
			err = ids(st.gid[:], fields)
		case "Groups":
			st.groups = make([]int, len(fields))
			err = ids(st.groups, fields)
		case "CapInh", "CapPrm", "CapEff", "CapAmb":
			var set uint64
			set, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			st.caps |= set
		case "CapBnd":
			st.bounding, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		case "NoNewPrivs":
			st.noNewPrivs = strings.TrimSpace(value) == "1"
		case "Seccomp":
			st.filtered = strings.TrimSpace(value) == "2"
		default:
			continue
		}
		if err != nil {
			return st, fmt.Errorf("status: %s: %w", key, err)
		}
		seen++
	}
	if seen < 8 { // all but CapAmb and NoNewPrivs, which older kernels lack
		return st, errors.New("status: not all there")
	}
	return st, nil
}

func ids(out []int, fields []string) (err error) {
	if len(fields) != len(out) {
		return fmt.Errorf("%d numbers, not %d", len(fields), len(out))
	}
	for i, f := range fields {
		if out[i], err = strconv.Atoi(f); err != nil {
			return err
		}
	}
	return nil
}
