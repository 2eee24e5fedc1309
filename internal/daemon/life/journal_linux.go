package life

import (
	"fmt"
	"io/fs"
	"syscall"
)

// streamOf is a file's device and inode as JOURNAL_STREAM has them.
func streamOf(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
