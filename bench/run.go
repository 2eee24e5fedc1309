//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapstack/internal/netns"
)

// run measures everything that cfg asks for, round by round, each workload on
// one target after the other so that a slow minute of the machine falls on
// all. What fails is noted and left out; the rest goes on.
func run(ctx context.Context, cfg config, progress io.Writer) (*report, error) {
	cc, err := congestionControls()
	if err != nil {
		return nil, err
	}
	jobs := selected(allJobs(cc.others), cfg)
	if len(jobs) == 0 {
		return nil, fmt.Errorf("-run %v: no workload matches; all of them are %s", cfg.only, allNames(allJobs(cc.others)))
	}
	var missing []fact
	if i := slices.Index(cfg.targets, slirpName); i >= 0 {
		if _, err := slirpVersion(); err != nil {
			missing = []fact{{slirpName, "not measured: " + err.Error()}}
			cfg.targets = slices.Delete(slices.Clone(cfg.targets), i, i+1)
		}
	}
	r := &runner{cfg: cfg, log: progress, report: &report{}, start: time.Now()}
	for round := range cfg.rounds {
		for _, j := range jobs {
			if takesPart(j, round) {
				r.total += len(j.targets(cfg))
			}
		}
	}
	r.prepare(jobs, cc)
	r.report.facts = append(r.report.facts, missing...)
	for round := range cfg.rounds {
		for _, j := range jobs {
			if !takesPart(j, round) {
				continue
			}
			if err := r.job(ctx, j, round); err != nil {
				return nil, err
			}
		}
	}
	r.finish()
	return r.report, nil
}

// targets are those that it can be measured on.
func (j job) targets(cfg config) []string {
	on := j.on
	switch {
	case j.under.sockets != "":
		on = targets[:1]
	case on == nil:
		on = targets[:3]
	}
	return slices.DeleteFunc(slices.Clone(cfg.targets), func(t string) bool { return !slices.Contains(on, t) })
}

// section is where in the report it goes.
func (j job) section() section {
	switch {
	case j.under.suffix != "", j.under.sockets != "":
		return otherwise
	case j.under.through != "":
		return relayed
	}
	return ""
}

func takesPart(j job, round int) bool { return !j.seldom || round%2 == 0 }

// runner is one run.
type runner struct {
	cfg         config
	log         io.Writer
	report      *report
	start       time.Time
	done, total int // measurements
	cores       [2]int
	busyBefore  string
}

// prepare makes the report's rows, in order.
func (r *runner) prepare(jobs []job, cc congestion) {
	for _, j := range jobs {
		for _, m := range j.metrics {
			if !r.cfg.only.MatchString(m.name + j.under.suffix) {
				continue
			}
			title := m.title
			if j.under.suffix != "" {
				title += " (" + strings.TrimPrefix(j.under.suffix, "_") + ")"
			}
			r.report.results = append(r.report.results, &result{
				Workload: m.name + j.under.suffix, Unit: m.unit, Better: m.better,
				Runs:  make(map[string][]float64),
				title: title, section: j.section(), beside: m.beside,
			})
		}
	}
	r.busyBefore = load()
	var pinned bool
	r.cores, pinned = twoCores()
	cores := fmt.Sprintf("peer on core %d, system under test on core %d, but for _unpinned", r.cores[0], r.cores[1])
	if !pinned {
		cores = "not pinned: there are not two cores to run on"
	}
	r.report.facts = append(machineFacts(),
		fact{"cores used", cores},
		fact{"congestion control", fmt.Sprintf("%s on both sides, but where a workload's name says another for the kernel's sockets; tapstack has its default there, cubic, and in _default. %s",
			headline.congestion, cc.note)},
		fact{"measured", fmt.Sprintf("%s, %d rounds of %v each", r.start.Format("2006-01-02 15:04"), r.cfg.rounds, r.cfg.span)},
	)
}

// job measures one workload on each target.
func (r *runner) job(ctx context.Context, j job, round int) error {
	label := j.metrics[0].name + j.under.suffix
	fmt.Fprintf(r.log, "round %d/%d  %-22s", round+1, r.cfg.rounds, label)
	defer fmt.Fprintln(r.log)
	for _, target := range j.targets(r.cfg) {
		values, about, err := r.measureSome(ctx, target, j)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.done++
		if err != nil {
			r.report.fail(fmt.Sprintf("%s on %s, round %d: %v", label, target, round+1, err))
			fmt.Fprintf(r.log, "  %s FAILED", target)
			continue
		}
		if about != "" && !j.under.noSpin {
			r.report.setFact(target, about)
		}
		for i, m := range j.metrics {
			r.report.add(m.name+j.under.suffix, target, values[i])
		}
		fmt.Fprintf(r.log, "  %s %-9s", target, number(values[0]))
	}
	fmt.Fprintf(r.log, " %-7s %s left", j.metrics[0].unit, r.left())
	return nil
}

// maxAttempts is how often a measurement that saw nothing is made.
const maxAttempts = 5

// measureSome is measure, again for twice as long if nothing arrived: that
// says that the machine was busy with something else, until it has said so
// maxAttempts times.
func (r *runner) measureSome(ctx context.Context, target string, j job) (values []float64, about string, err error) {
	cfg := r.cfg
	for range maxAttempts {
		values, about, err = r.measure(ctx, target, j, cfg)
		if !errors.Is(err, errNothing) || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(r.log, "  %s: %v, again", target, err)
		cfg.span *= 2
	}
	return values, about, err
}

func (r *runner) measure(ctx context.Context, target string, j job, cfg config) ([]float64, string, error) {
	p, err := newPair(ctx, target, j.under, r.cores, cfg.verbose)
	if err != nil {
		return nil, "", err
	}
	defer p.close()
	var measured *process
	if cfg.profile {
		if measured, err = p.measured(); err != nil {
			return nil, "", err
		}
		name := fmt.Sprintf("%s%s-%s.pprof", j.metrics[0].name, j.under.suffix, target)
		if _, err := measured.call(ctx, order{Op: "start profile", File: filepath.Join(cfg.out, name)}); err != nil {
			return nil, "", err
		}
	}
	values, err := j.run(ctx, p, cfg)
	if cfg.profile && err == nil {
		_, err = measured.call(ctx, order{Op: "stop profile"})
	}
	return values, p.about, err
}

// left is how long it will go on at the pace so far.
func (r *runner) left() time.Duration {
	spent := time.Since(r.start)
	return (spent / time.Duration(r.done) * time.Duration(r.total-r.done)).Round(time.Second)
}

func (r *runner) finish() {
	r.report.facts = append(r.report.facts,
		fact{"load average", fmt.Sprintf("%s before, %s after; took %v", r.busyBefore, load(), time.Since(r.start).Round(time.Second))})
}

// congestion is what this system has of congestion control.
type congestion struct {
	others []string // that may be set, beside the headline's
	note   string
}

// congestionControls finds the system's default, which new namespaces inherit,
// and tries whether they may have another.
func congestionControls() (congestion, error) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return congestion{}, err
	}
	def := strings.TrimSpace(string(b))
	c := congestion{note: "This system's default is " + def + "."}
	for _, name := range []string{def, "cubic"} {
		if name == headline.congestion || slices.Contains(c.others, name) {
			continue
		}
		// Outside of tcp_allowed_congestion_control only the host's own
		// namespace may have it.
		if err := netns.Run(func() error { return sysctl("ipv4/tcp_congestion_control", name) }); err != nil {
			c.note += fmt.Sprintf(" %s cannot be set here: %v.", name, errors.Unwrap(err))
			continue
		}
		c.others = append(c.others, name)
	}
	return c, nil
}

func allNames(jobs []job) string {
	var names []string
	for _, j := range jobs {
		for _, m := range j.metrics {
			names = append(names, m.name+j.under.suffix)
		}
	}
	return strings.Join(names, ", ")
}
