package drill

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Suite is a set of scripts to be run.
type Suite struct {
	Config Config

	// Paths are files, and folders in which every file that ends in ".pkt" is
	// a script. Links to folders are not followed, and pipes and devices in
	// folders are passed over.
	Paths []string

	// Parallel is how many scripts run at a time; 0 is one for each CPU, and
	// eight times as many with Config.RealTime, where most of them wait.
	Parallel int

	// PcapDir, if not empty, is where every script that fails leaves a pcapng
	// file of what was on its wire, stamped with the script's time. (In virtual
	// time the script is run again for it, which does the same again.)
	PcapDir string

	// Done, if not nil, is called after each script, by one goroutine at a
	// time, in no particular order.
	Done func(done, total int, res *Result)
}

// Report is what became of a suite.
type Report struct {
	Results []*Result     // in the order of the paths
	Wall    time.Duration // how long they took together
}

// Count is how many scripts had an outcome.
func (r *Report) Count(o Outcome) int {
	n := 0
	for _, res := range r.Results {
		if res.Outcome == o {
			n++
		}
	}
	return n
}

// Run runs the scripts. It ends early when ctx does; scripts that have not come
// to their end by then are not in the report. Other errors are those of finding
// the scripts, and of a PcapDir that cannot be written to; a script that cannot
// be read is one that failed.
func (s *Suite) Run(ctx context.Context) (*Report, error) {
	files, err := find(s.Paths)
	if err != nil {
		return nil, err
	}
	if s.PcapDir != "" {
		if err := writableDir(s.PcapDir); err != nil {
			return nil, err
		}
	}
	names := captureNames(files)
	begun := time.Now()
	results := make([]*Result, len(files))
	next := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(s.parallel(), len(files)) {
		workers.Go(func() {
			for i := range next {
				res := s.one(ctx, files[i], names[i])
				if res.interrupted {
					continue
				}
				mu.Lock()
				results[i] = res
				if done++; s.Done != nil {
					s.Done(done, len(files), res)
				}
				mu.Unlock()
			}
		})
	}
	for i := range files {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	results = slices.DeleteFunc(results, func(r *Result) bool { return r == nil })
	return &Report{Results: results, Wall: time.Since(begun)}, ctx.Err()
}

func (s *Suite) parallel() int {
	n := cmp.Or(s.Parallel, runtime.NumCPU())
	if s.Parallel == 0 && s.Config.RealTime != nil {
		const waiting = 8
		n *= waiting
	}
	return n
}

// find lists the scripts of paths.
func find(paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".pkt" && isFile(path, d) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: no scripts (*.pkt) in this folder", p)
		}
	}
	return files, nil
}

// isFile reports whether an entry of a folder is a regular file, or a link to
// one. What cannot be told, because the link leads nowhere, is one: it is for
// RunFile to say so.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

// writableDir makes a folder, and sees that files can be made in it.
func writableDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".drill-*")
	if err != nil {
		return err
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// one runs a script, and leaves a capture of a failure. In virtual time that is
// made by another run; in real time another run might pass.
func (s *Suite) one(ctx context.Context, path, name string) *Result {
	plain := s.Config
	plain.done = ctx.Done()
	cfg := plain
	var captures []string
	if s.PcapDir != "" {
		cfg.Capture = func(host string) (io.WriteCloser, error) {
			file := filepath.Join(s.PcapDir, captureFile(name, host))
			captures = append(captures, file)
			return os.Create(file)
		}
	}
	if cfg.RealTime == nil {
		res := RunFile(path, &plain)
		if res.Outcome == Fail && !res.interrupted && cfg.Capture != nil {
			RunFile(path, &cfg)
		}
		return res
	}
	res := RunFile(path, &cfg)
	if res.Outcome != Fail || res.interrupted {
		for _, file := range captures {
			_ = os.Remove(file)
		}
	}
	return res
}

// captureNames are the paths of scripts, each as one file name that no other
// has: "a/b_c.pkt" and "a_b/c.pkt", or one script that is run twice, do not
// write to the same file.
func captureNames(paths []string) []string {
	names := make([]string, len(paths))
	taken := make(map[string]bool, len(paths))
	for i, path := range paths {
		plain := strings.TrimSuffix(path, filepath.Ext(path))
		plain = strings.Trim(strings.NewReplacer("/", "_", `\`, "_", ":", "_", "..", "").Replace(plain), "_")
		name := plain
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s~%d", plain, n)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

func captureFile(name, host string) string {
	if host != "" {
		name += "." + host
	}
	return name + ".pcapng"
}
