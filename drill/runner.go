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
	// a script.
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

// Run runs the scripts. It ends early when ctx does, after the scripts that
// are running. Errors are those of finding the scripts; a script that cannot
// be read is one that failed.
func (s *Suite) Run(ctx context.Context) (*Report, error) {
	files, err := find(s.Paths)
	if err != nil {
		return nil, err
	}
	if s.PcapDir != "" {
		if err := os.MkdirAll(s.PcapDir, 0o755); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	results := make([]*Result, len(files))
	next := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(s.parallel(), len(files)) {
		workers.Go(func() {
			for i := range next {
				res := s.one(files[i])
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
			if err == nil && !d.IsDir() && filepath.Ext(path) == ".pkt" {
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

// one runs a script, and leaves a capture of a failure. In virtual time that is
// made by another run; in real time another run might pass.
func (s *Suite) one(path string) *Result {
	cfg := s.Config
	var captures []string
	if s.PcapDir != "" {
		cfg.Capture = func(host string) (io.WriteCloser, error) {
			name := filepath.Join(s.PcapDir, captureName(path, host))
			captures = append(captures, name)
			return os.Create(name)
		}
	}
	if cfg.RealTime == nil {
		res := RunFile(path, &s.Config)
		if res.Outcome == Fail && cfg.Capture != nil {
			RunFile(path, &cfg)
		}
		return res
	}
	res := RunFile(path, &cfg)
	if res.Outcome != Fail {
		for _, name := range captures {
			_ = os.Remove(name)
		}
	}
	return res
}

// captureName is a script's path as one file name.
func captureName(path, host string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path))
	name = strings.Trim(strings.NewReplacer("/", "_", `\`, "_", ":", "_", "..", "").Replace(name), "_")
	if host != "" {
		name += "." + host
	}
	return name + ".pcapng"
}
