//go:build !linux

package privilege

import (
	"errors"
	"fmt"
	"runtime"
)

var errSystem = fmt.Errorf("privileges can not be dropped on %s: start the program as a user who has none: %w", runtime.GOOS, errors.ErrUnsupported)

func drop(Config) (Report, error) { return Report{}, errSystem }

// Look says what the system offers.
func Look() Probe { return Probe{Landlock: errSystem, Seccomp: errSystem} }

// Unprivileged finds nobody here.
func Unprivileged() (string, error) { return "", errSystem }

// IDs finds nobody here.
func IDs(Config) (uid, gid int, err error) { return 0, 0, errSystem }
