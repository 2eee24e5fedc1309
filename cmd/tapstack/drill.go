package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tapstack/drill"
	"tapstack/internal/netns"
	"tapstack/internal/rawlink"
	"tapstack/tap"
)

// errNotAllPassed: at least one script failed or is unsupported.
var errNotAllPassed = errors.New("not every script passed")

type drillFlags struct {
	mode, profile, pcap string
	ipv4, ipv6          bool
	defines, sysctls    []string
	jobs                int
	seed                uint64
	asJSON, verbose     bool

	realTime, tap, here bool
	tolerance, limit    time.Duration
}

func drillCommand() *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use:   "drill [flags] PATH...",
		Short: "Run packet scripts against the stack, in virtual time",
		Long: `Runs packetdrill's scripts against userspace sockets: files, and every *.pkt in
folders. No privileges, no network: time and wire are the script's. "go doc
tapstack/drill" teaches the language.

With --real-time the stack runs on the machine's clock, over an in-memory pipe;
with --tap as well, over a live TAP for each script, with the script at a packet
socket on the other side. Both need a machine with time to spare: see
--tolerance.

Modes, separated by commas: strict (the default), psh (the PSH flag does not
count), optorder (TCP options in any order), extra-ack (segments that say
nothing but ACK are passed over), early (packets may come before their time),
strict-end (no packet may be left at the end).

Exit status: 0 if every script passed, 1 if not, 2 for a mistake in the command.`,
		Example: `  tapstack drill testdata/drill
  tapstack drill --profile freebsd --mode psh,extra-ack --pcap out scripts/
  sudo tapstack drill --real-time --tap testdata/drill`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runDrill(c.OutOrStdout(), c.ErrOrStderr(), &f, args)
		},
	}
	c.Flags().StringVar(&f.mode, "mode", "strict", "liberties in matching, see above")
	c.Flags().StringVar(&f.profile, "profile", "linux", "whose constants and defaults: linux, freebsd or tapstack")
	c.Flags().BoolVar(&f.ipv4, "ipv4", false, "run every script over IPv4")
	c.Flags().BoolVar(&f.ipv6, "ipv6", false, "run every script over IPv6")
	c.Flags().StringArrayVarP(&f.defines, "define", "D", nil, "define a macro, as NAME or NAME=TEXT")
	c.Flags().StringArrayVar(&f.sysctls, "sysctl", nil, "a setting, as NAME=VALUE, before those of the scripts")
	c.Flags().StringVar(&f.pcap, "pcap", "", "leave a pcapng file of every script that fails in this folder")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "how many scripts run at a time (default: one for each CPU)")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "what all randomness of the stacks comes from")
	c.Flags().BoolVar(&f.realTime, "real-time", false, "run on the machine's clock, over an in-memory pipe")
	c.Flags().BoolVar(&f.tap, "tap", false, "with --real-time: over a TAP for each script, in a private network namespace")
	c.Flags().BoolVar(&f.here, "here", false, "with --tap: in this network namespace instead")
	c.Flags().DurationVar(&f.tolerance, "tolerance", 0, "the least that a time may be off (default 4ms, 40ms with --real-time)")
	c.Flags().DurationVar(&f.limit, "limit", 0, "how long a script may run (default 10s, 90s with --real-time)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the results as JSON and nothing else")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "tell of every script, and show what it prints")
	return c
}

// suite is what the flags ask for.
func (f *drillFlags) suite(paths []string) (*drill.Suite, error) {
	mode, err := drill.ParseMode(f.mode)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--mode: %w", err)}
	}
	profile, err := drill.ParseProfile(f.profile)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--profile: %w", err)}
	}
	if f.ipv4 && f.ipv6 {
		return nil, &usageError{errors.New("--ipv4 and --ipv6: give one of them")}
	}
	switch {
	case f.tap && !f.realTime:
		return nil, &usageError{errors.New("--tap: a TAP has no virtual time: add --real-time")}
	case f.here && !f.tap:
		return nil, &usageError{errors.New("--here is for --tap")}
	case f.tolerance < 0:
		return nil, &usageError{fmt.Errorf("--tolerance %v: want 0 or more", f.tolerance)}
	case f.limit < 0:
		return nil, &usageError{fmt.Errorf("--limit %v: want 0 or more", f.limit)}
	}
	if f.jobs < 0 {
		return nil, &usageError{fmt.Errorf("--jobs %d: want 1 or more", f.jobs)}
	}
	s := &drill.Suite{Paths: paths, PcapDir: f.pcap, Parallel: f.jobs}
	s.Config = drill.Config{Mode: mode, Profile: profile, Seed: f.seed, Sysctls: f.sysctls, Defines: make(map[string]string), Tolerance: f.tolerance, WallLimit: f.limit}
	if f.realTime {
		s.Config.RealTime = &drill.RealTime{}
	}
	for _, d := range f.defines {
		name, text, _ := strings.Cut(d, "=")
		s.Config.Defines[name] = text
	}
	switch {
	case f.ipv4:
		s.Config.IP = "ipv4"
	case f.ipv6:
		s.Config.IP = "ipv6"
	}
	return s, nil
}

// openTAP is what opens TAPs: in a namespace that ends with done, or here.
func (f *drillFlags) openTAP() (open func(int) (near, far tap.Device, err error), done func(), err error) {
	if f.here {
		return rawlink.Open, func() {}, nil
	}
	ns, err := netns.New()
	if err != nil {
		// An ordinary user: this program again, as root of namespaces of its own.
		if err = netns.Enter(); err == nil {
			ns, err = netns.New()
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return rawlink.In(ns), func() { _ = ns.Close() }, nil
}

func runDrill(stdout, stderr io.Writer, f *drillFlags, paths []string) error {
	s, err := f.suite(paths)
	if err != nil {
		return err
	}
	if f.tap {
		open, done, err := f.openTAP()
		if err != nil {
			return &usageError{err}
		}
		defer done()
		s.Config.RealTime.Open = open
	}
	progress := isTerminal(stderr) && !f.asJSON
	failed := 0
	if progress {
		s.Done = func(done, total int, res *drill.Result) {
			if res.Outcome != drill.Pass {
				failed++
			}
			fmt.Fprintf(stderr, "\r%d of %d scripts, %d not passed", done, total, failed)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What does not end by a first signal, such as reading from a pipe, does by
	// a second.
	defer context.AfterFunc(ctx, stop)()
	report, err := s.Run(ctx)
	if progress {
		fmt.Fprint(stderr, "\r\x1b[K")
	}
	if report == nil {
		return &usageError{err}
	}
	if f.asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else if err := report.WriteText(stdout, f.verbose); err != nil {
		return err
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted, with %d scripts done", len(report.Results))
	}
	if err == nil && report.Count(drill.Pass) < len(report.Results) {
		err = errNotAllPassed
	}
	return err
}
