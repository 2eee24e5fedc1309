package daemon

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"syscall"

	"tapstack/internal/daemon/privilege"
)

// webRoot is a directory whose files are served. What is outside of it cannot
// be reached, by ".." or by a symbolic link either (os.Root).
type webRoot struct {
	dir     *os.Root
	handler http.Handler
}

// SetRoot has http serve the files of a directory, or none if dir is "". With
// an error, everything is as it was.
func (s *Services) SetRoot(dir string) error {
	var next *webRoot
	if dir != "" {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("http-root: %w", privilege.Explain("open "+dir, "access to it", err))
		}
		next = &webRoot{root, http.FileServerFS(regularFS{root})}
	}
	if old := s.files.Swap(next); old != nil {
		_ = old.dir.Close() // files that are open stay so
	}
	return nil
}

// serveFiles serves what is no page of our own.
func (s *Services) serveFiles(w http.ResponseWriter, r *http.Request) {
	switch root := s.files.Load(); {
	case root != nil:
		root.handler.ServeHTTP(w, r)
	case r.URL.Path == "/":
		s.serveStatus(w, r)
	default:
		http.NotFound(w, r)
	}
}

// regularFS is a directory tree of which only files and directories can be
// opened: a FIFO would wait, a device may never end.
type regularFS struct{ dir *os.Root }

// Open implements fs.FS.
func (r regularFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
