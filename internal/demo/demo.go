// Package demo tells the story of a userspace TCP stack and the kernel's, and
// checks every sentence of it: who learns whose address, who moves bytes to
// whom, and in which of the four buffers between two programs the bytes are.
//
// It drives our services from the other end of the link ([host]): the kernel,
// over a TAP in the namespace the program runs in, or a second stack of ours,
// over a pipe. [Run] reports to a writer and returns what held.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"tapstack/internal/daemon"
	"tapstack/stack"
	"tapstack/tap"
)

// Config says how to tell the story.
type Config struct {
	// Device is "tap", "pipe", or "" for a TAP if there can be one.
	Device string
	// Bytes are moved in each direction by the long parts; 0 means 1 GB.
	Bytes int64
	// NoTAP, if not nil, is why the program could not get a namespace to make
	// a TAP in.
	NoTAP error
	// Out gets the story; Progress says that it is a terminal, on which a bar
	// may be drawn.
	Out      io.Writer
	Progress bool
}

// Report is what held.
type Report struct {
	OK     bool   `json:"ok"`
	Device string `json:"device"` // "tap" or "pipe"
	// Kernel says whether the kernel's TCP was the other side.
	Kernel bool    `json:"kernel"`
	Note   string  `json:"note,omitempty"` // why there was no TAP
	Checks []Check `json:"checks"`
	// Counters are of the whole story.
	Ours    stack.TCPStats `json:"ours"`
	Theirs  hostCounters   `json:"theirs"`
	Seconds float64        `json:"seconds"`
}

// Check is one claim of the story.
type Check struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Detail string  `json:"detail"`
	Gbps   float64 `json:"gbps,omitempty"` // where bytes were moved and timed
}

// NoTAPError says why there is no TAP, to somebody who asked for one.
type NoTAPError struct{ Err error }

func (e *NoTAPError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *NoTAPError) Unwrap() error { return e.Err }

// Addresses of the two ends.
var (
	ours4, ours6     = netip.MustParsePrefix("192.168.77.2/24"), netip.MustParsePrefix("fd00:77::2/64")
	theirs4, theirs6 = netip.MustParsePrefix("192.168.77.1/24"), netip.MustParsePrefix("fd00:77::1/64")
)

// defaultBytes is the "1 GB".
const defaultBytes = 1_000_000_000

// story is one telling: both ends, and what has been seen so far.
type story struct {
	printer
	cfg    Config
	s      *stack.Stack // ours
	nic    *stack.NIC
	far    host
	report Report

	// kept are connections that stay open for the last table.
	kept []net.Conn
}

// Run tells the story. The error says that it could not be told at all; what
// did not hold is in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Bytes == 0 {
		cfg.Bytes = defaultBytes
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	start := time.Now()
	st := &story{cfg: cfg, printer: printer{w: cfg.Out, bar: cfg.Progress}}
	if err := st.open(); err != nil {
		return nil, err
	}
	defer st.close()
	if err := st.tell(ctx); err != nil {
		return nil, err
	}
	st.finish(time.Since(start))
	return &st.report, nil
}

// open makes the link, the stack and the far end.
func (st *story) open() error {
	if st.cfg.Device != "pipe" {
		err := st.cfg.NoTAP
		if err == nil {
			err = st.openTAP()
		}
		if err == nil {
			return nil
		}
		if st.cfg.Device == "tap" {
			return &NoTAPError{err}
		}
		st.report.Note = err.Error()
		st.say("No TAP device: %v.", err)
		st.say("So the story runs between two userspace stacks over an in-memory pipe; the kernel takes no part.")
		st.say("")
	}
	return st.openPipe()
}

func (st *story) openTAP() error {
	dev, err := tap.Open(&tap.Config{Host: []netip.Prefix{theirs4, theirs6}})
	if err != nil {
		return err
	}
	name := dev.Name()
	if err := st.openStack(dev); err != nil {
		return err
	}
	if st.far, err = newKernelHost(name); err != nil {
		_ = st.s.Close()
		return err
	}
	st.report.Device, st.report.Kernel = "tap", true
	return nil
}

func (st *story) openPipe() error {
	a, b := tap.Pipe(nil)
	if err := st.openStack(a); err != nil {
		return errors.Join(err, b.Close())
	}
	far, err := stack.New(nil)
	if err == nil {
		_, err = far.AddNIC(b, &stack.NICConfig{Addresses: []netip.Prefix{theirs4, theirs6}})
	}
	if err != nil {
		if far != nil {
			_ = far.Close()
		}
		return errors.Join(err, st.s.Close(), b.Close())
	}
	st.far = stackHost{far}
	st.report.Device = "pipe"
	return nil
}

func (st *story) openStack(dev tap.Device) (err error) {
	if st.s, err = stack.New(nil); err != nil {
		return errors.Join(err, dev.Close())
	}
	st.nic, err = st.s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{ours4, ours6}})
	if err != nil {
		return errors.Join(err, st.s.Close())
	}
	return nil
}

func (st *story) close() {
	for _, c := range st.kept {
		_ = c.Close()
	}
	st.far.close()
	_ = st.s.Close()
}

// tell runs the chapters in order. A chapter that fails to run is a check
// that did not hold; the story goes on.
func (st *story) tell(ctx context.Context) error {
	services, err := daemon.StartServices(st.s, daemon.ServicesConfig{Echo: ":7", Discard: ":9", Chargen: ":19", HTTP: ":80"})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = services.Shutdown(ctx)
	}()
	st.picture()
	for i, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Who is there? ARP, NDP and ping", st.reach},
		{"Web pages, both ways", st.web},
		{"The small services", st.services},
		{fmt.Sprintf("%s in each direction", size(st.cfg.Bytes)), st.bulk},
		{"Who has the bytes? A reader that does not read", st.slowReader},
		{"The mirror image: our send buffer", st.slowPeer},
		{"What is open now, as `ss -tm` would list it", st.table},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		st.title("%d. %s", i+1, chapter.title)
		err := chapter.tell(ctx)
		if ctx.Err() != nil {
			return ctx.Err() // what has failed since is not the stack's doing
		}
		if err != nil {
			st.check(chapter.title, false, "%v", err)
		}
	}
	return nil
}

// check records a claim and prints it.
func (st *story) check(name string, ok bool, format string, args ...any) {
	st.record(Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

func (st *story) record(c Check) {
	st.report.Checks = append(st.report.Checks, c)
	st.verdictLine(c)
}

// finish prints the verdict.
func (st *story) finish(took time.Duration) {
	r := &st.report
	r.Seconds = took.Seconds()
	r.Ours = st.s.Stats().TCP
	r.Theirs, _ = st.far.counters()
	failed := 0
	for _, c := range r.Checks {
		if !c.OK {
			failed++
		}
	}
	r.OK = failed == 0
	st.title("Verdict")
	for _, c := range r.Checks {
		st.say("  %s  %s", mark(c.OK), c.Name)
	}
	st.say("")
	who := "the kernel's TCP on the other side of a real TAP device"
	if !r.Kernel {
		who = "a second userspace stack on the other side; the kernel took no part"
	}
	st.say("%d of %d checks held in %.1f s, with %s.", len(r.Checks)-failed, len(r.Checks), r.Seconds, who)
}

// picture shows what is connected to what.
func (st *story) picture() {
	us := fmt.Sprintf("tapstack  %v  %v  %v", ours4.Addr(), ours6.Addr(), st.nic.HardwareAddr())
	them := fmt.Sprintf("%-8s  %v  %v", st.far.name(), theirs4.Addr(), theirs6.Addr())
	st.say("  %s", them)
	st.say("  %s|", strings.Repeat(" ", 10))
	st.say("  %s+-- %s %q, MTU %d", strings.Repeat(" ", 10), st.report.Device, st.nic.Name(), st.nic.MTU())
	st.say("  %s|", strings.Repeat(" ", 10))
	st.say("  %s", us)
}
