package daemon

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"tapstack/internal/daemon/privilege"
)

// webRoot is a directory whose files are served. What is outside of it cannot
// be reached, by ".." or by a symbolic link either (os.Root).
type webRoot struct {
	dir     *os.Root
	handler http.Handler
}

// SetRoot has http serve the files of a directory, or none if dir is "". list
// says whether it tells the names in a directory without an index.html. With an
// error, everything is as it was.
func (s *Services) SetRoot(dir string, list bool) error {
	var next *webRoot
	if dir != "" {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("http-root: %w", privilege.Explain("open "+dir, "access to it", err))
		}
		next = &webRoot{root, http.FileServerFS(publicFS{root, list})}
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

// publicFS is a directory tree of which only files and directories can be
// opened: a FIFO would wait, a device may never end. What begins with a dot is
// not there: it is what editors, version control and .htpasswd leave.
type publicFS struct {
	dir  *os.Root
	list bool
}

// Open implements fs.FS.
func (r publicFS) Open(name string) (fs.File, error) {
	refuse := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return refuse(fs.ErrInvalid)
	}
	if hidden(name) {
		return refuse(fs.ErrNotExist)
	}
	f, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.Mode().IsRegular():
		return f, nil
	case err == nil && info.IsDir() && (r.list || r.indexed(name)):
		return directory{f, r.list}, nil
	}
	_ = f.Close()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return refuse(fs.ErrPermission)
	}
	return refuse(fs.ErrNotExist)
}

// indexed reports whether a directory has a page of its own.
func (r publicFS) indexed(name string) bool {
	info, err := r.dir.Stat(path.Join(name, "index.html"))
	return err == nil && info.Mode().IsRegular()
}

// hidden reports whether a part of a path begins with a dot; "." is the root.
func hidden(name string) bool {
	return name != "." && (name[0] == '.' || strings.Contains(name, "/."))
}

// directory is one that tells only the names that can be opened, or none.
type directory struct {
	fs.ReadDirFile
	list bool
}

// ReadDir implements fs.ReadDirFile.
func (d directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.list {
		return nil, fs.ErrPermission // its index.html has just gone
	}
	entries, err := d.ReadDirFile.ReadDir(n)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return hidden(e.Name()) }), err
}
