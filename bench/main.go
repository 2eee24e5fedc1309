//go:build linux

// Command bench measures tapstack beside the kernel's own TCP/IP and beside
// the naive way to build a userspace stack, with the same client and the same
// server, in namespaces of its own. README.md says how to read the result.
//
// One process coordinates (run.go). For every single measurement it makes
// fresh namespaces and starts itself twice more (pair.go, process.go):
//
//	peer, first core                       system under test, second core
//	clients on kernel sockets (peer.go)    the server (sut.go) on a network:
//	        |                                tapstack (tapstack.go)
//	        +------ TAP or veth pair ------- the kernel (kernel.go)
//	                                         the naive way (naive.go)
//
// What is measured is listed in jobs.go. The files without a build tag compute
// and print, and know nothing of processes and networks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/internal/netns"
)

// config is what the command line says.
type config struct {
	rounds  int
	span    time.Duration // of one measurement, without warm-up
	warm    time.Duration
	idle    time.Duration // of idle_cpu
	conns   int           // of mem_per_conn
	turn    int           // bytes, of layer_cost and account_cost
	only    *regexp.Regexp
	targets []string
	out     string // folder
	profile bool
	verbose bool
}

func main() {
	if playRole(os.Args) {
		return
	}
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		os.Exit(2)
	}
	if err := mainErr(cfg); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func mainErr(cfg config) error {
	// The coordinator needs no network at all; it moves out of the host's so
	// that nothing it does by mistake can reach it, and to be root in there.
	if err := netns.Enter(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := os.MkdirAll(cfg.out, 0o777); err != nil {
		return err
	}
	rep, err := run(ctx, cfg, os.Stderr)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: no result")
	}
	if err != nil {
		return err
	}
	if err := rep.writeFiles(cfg.out); err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, rep.markdown()); err != nil {
		return err
	}
	if n := len(rep.failures); n > 0 {
		return fmt.Errorf("%d measurements failed: see %s", n, filepath.Join(cfg.out, failuresFile))
	}
	return nil
}

func parseFlags(args []string, w io.Writer) (config, error) {
	cfg := config{warm: 250 * time.Millisecond, idle: 3 * time.Second, turn: turnSize}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.IntVar(&cfg.rounds, "rounds", 5, "how often everything is measured; the table shows medians")
	seconds := fs.Float64("seconds", 0.75, "length of one measurement")
	only := fs.String("run", "", "measure only the workloads that match this `regexp`")
	on := fs.String("targets", strings.Join(targets, ","), "measure only these")
	quick := fs.Bool("quick", false, "one short round: a look, not a result")
	fs.IntVar(&cfg.conns, "conns", 10_000, "connections of mem_per_conn")
	fs.StringVar(&cfg.out, "o", "bench/out", "`folder` for bench.json, bench.md and bench.svg")
	fs.BoolVar(&cfg.profile, "profile", false, "write a CPU profile of each system under test to the same folder, for go tool pprof")
	fs.BoolVar(&cfg.verbose, "v", false, "show what the measured processes print")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	fail := func(format string, a ...any) (config, error) {
		err := fmt.Errorf(format, a...)
		fmt.Fprintln(w, err)
		return cfg, err
	}
	if fs.NArg() > 0 {
		return fail("unexpected argument %q", fs.Arg(0))
	}
	var err error
	if cfg.only, err = regexp.Compile(*only); err != nil {
		return fail("-run: %v", err)
	}
	for _, target := range strings.Split(*on, ",") {
		if !slices.Contains(targets, target) {
			return fail("-targets: no %q; there are %s", target, strings.Join(targets, ", "))
		}
		cfg.targets = append(cfg.targets, target)
	}
	if *quick {
		cfg.rounds, *seconds, cfg.idle, cfg.conns = 1, 0.25, time.Second, min(cfg.conns, 1000)
	}
	if cfg.rounds < 1 || cfg.rounds > 1000 {
		return fail("-rounds %d: choose 1 to 1000", cfg.rounds)
	}
	if *seconds < 0.05 || *seconds > 600 {
		return fail("-seconds %g: choose 0.05 to 600", *seconds)
	}
	if cfg.conns < 1 || cfg.conns > 50_000 {
		return fail("-conns %d: choose 1 to 50000", cfg.conns)
	}
	cfg.span = time.Duration(*seconds * float64(time.Second))
	return cfg, nil
}
