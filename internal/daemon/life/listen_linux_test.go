package life

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// TestSocketOfAnotherGroup: a group that cannot be given to the socket matters
// where its mode lets the group alone in.
func TestSocketOfAnotherGroup(t *testing.T) {
	denied, gid := error(&fs.PathError{Op: "chown", Path: "/s", Err: syscall.EPERM}), 4
	for _, c := range []struct {
		err  error
		mode fs.FileMode
		cfg  SocketConfig
		want string
	}{
		{denied, 0o666, SocketConfig{GID: &gid}, ""},
		{denied, 0o660, SocketConfig{GID: &gid}, "SupplementaryGroups="},
		{denied, 0o666, SocketConfig{UID: &gid, GID: &gid}, "chown /s"},
		{syscall.EROFS, 0o666, SocketConfig{GID: &gid}, syscall.EROFS.Error()},
	} {
		err := withoutGroup(c.err, c.mode, c.cfg)
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, mode %o: %v, want %q", c.err, c.mode, err, c.want)
		}
	}
}
