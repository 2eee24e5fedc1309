//go:build linux

package main

import (
	"context"
	"slices"
	"time"
)

// job is one measurement: what a pair does, and the workloads it has the
// numbers of.
type job struct {
	metrics []metric
	under   condition
	// seldom measures it in every other round: what needs long or is not the
	// headline.
	seldom bool
	// on has the targets that it can be measured on.
	on  []string
	run func(context.Context, *pair, config) ([]float64, error) // one number for each metric
}

// The headline is measured with the plainest congestion control on both sides:
// others pace, or leave slow start early, and that would decide what is
// measured.
var headline = condition{congestion: "reno", own: "reno"}

// Numbers of flows, connections, clients.
const (
	manyFlows = 4
	browsers  = 64
	visitors  = 32
)

// headlineJobs in the order in which they are measured and printed.
func headlineJobs() []job {
	return []job{
		{metrics: []metric{tcpRx, cpuRx}, run: bulkIn(1, false)},
		{metrics: []metric{tcpTx, cpuTx}, run: bulkOut(1, false)},
		{metrics: []metric{tcpRx4}, run: bulkIn(manyFlows, false)},
		{metrics: []metric{tcpTx4}, run: bulkOut(manyFlows, false)},
		{metrics: []metric{tcpRx6}, run: bulkIn(1, true)},
		{metrics: []metric{tcpTx6}, run: bulkOut(1, true)},
		{metrics: []metric{rtt50, rtt99}, run: roundTrips},
		{metrics: []metric{rps}, run: peerRate("get", browsers)},
		{metrics: []metric{connRate}, run: peerRate("visit", visitors)},
		{metrics: []metric{udpRx}, run: datagramsIn},
		{metrics: []metric{udpTx}, run: datagramsOut(1)},
		{metrics: []metric{udpTx64}, run: datagramsOut(batch)},
		{metrics: []metric{memory}, seldom: true, run: holdConnections},
		{metrics: []metric{idleCPU}, seldom: true, run: doNothing},
	}
}

// relayJobs go through a relay to a host behind the link.
func relayJobs() []job {
	forwards := []string{"tapstack", "kernel", "plain", slirpName}
	through := func(what string, on []string, m metric, run func(context.Context, *pair, config, string) ([]float64, error)) job {
		c := headline
		c.through = what
		return job{metrics: []metric{m}, under: c, on: on, run: func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
			return run(ctx, p, cfg, what)
		}}
	}
	ours := forwards[:1]
	// splice(2) takes four descriptors more for each connection: the kernel's
	// forward, and so the comparison, ends at the usual limit of them.
	memory := through(throughForward, ours, forwardMemory, relayMemory)
	memory.seldom = true
	noSpin := through(throughForward, ours, forwardRTT, relayRoundTrip)
	noSpin.under.suffix, noSpin.under.noSpin, noSpin.seldom = "_nospin", true, true
	return []job{
		through(throughForward, forwards, forwardRx, relayIn),
		through(throughForward, forwards, forwardTx, relayOut),
		through(throughSOCKS5, ours, socks5Rx, relayIn),
		through(throughSOCKS5, ours, socks5Tx, relayOut),
		through(throughHTTP, ours, connectRx, relayIn),
		through(throughHTTP, ours, connectTx, relayOut),
		through(throughForward, forwards, forwardRTT, relayRoundTrip),
		memory,
		noSpin,
	}
}

// allJobs adds what goes through a relay, and the main workloads under other conditions, some of which are
// other congestion controls.
func allJobs(congestions []string) []job {
	jobs := headlineJobs()
	for i := range jobs {
		jobs[i].under = headline
	}
	jobs = append(jobs, relayJobs()...)
	again := func(c condition, names ...string) {
		for _, j := range headlineJobs() {
			if slices.Contains(names, j.metrics[0].name) {
				j.under, j.seldom = c, true
				if j.metrics[0].unit == "Gbit/s" {
					j.metrics = j.metrics[:1] // without the CPU time, for a short table
				}
				jobs = append(jobs, j)
			}
		}
	}
	again(condition{suffix: "_nospin", congestion: headline.congestion, own: headline.own, noSpin: true}, rtt50.name)
	again(condition{suffix: "_default", congestion: headline.congestion}, tcpTx.name, tcpTx4.name)
	again(condition{suffix: "_unpinned", congestion: headline.congestion, own: headline.own, unpinned: true},
		tcpRx.name, tcpTx.name, rtt50.name, rps.name, connRate.name)
	for _, how := range []string{socketsDirect, socketsAccounting, socketsZeroCopy} {
		again(condition{suffix: "_" + how, congestion: headline.congestion, own: headline.own, sockets: how}, tcpRx.name, tcpTx.name)
	}
	inTurns := headline
	inTurns.sockets = socketsTurns
	jobs = append(jobs,
		job{metrics: []metric{layerRx, accountRx}, under: inTurns, run: layerCosts("turns in")},
		job{metrics: []metric{layerTx, accountTx}, under: inTurns, run: layerCosts("turns out")})
	for _, name := range congestions {
		again(condition{suffix: "_" + name, congestion: name}, tcpRx.name, tcpTx.name)
	}
	return jobs
}

// selected keeps the jobs that have a workload which cfg asks for.
func selected(jobs []job, cfg config) []job {
	return slices.DeleteFunc(jobs, func(j job) bool {
		return !slices.ContainsFunc(j.metrics, func(m metric) bool { return cfg.only.MatchString(m.name + j.under.suffix) })
	})
}

// bulkNumbers are what a bulk measurement reports: Gbit/s, CPU seconds per GB.
func bulkNumbers(a answer, err error) ([]float64, error) {
	if err != nil {
		return nil, err
	}
	return []float64{a.rate() * 8 / 1e9, a.CPU / (a.Count / 1e9)}, nil
}

func bulkIn(flows int, v6 bool) func(context.Context, *pair, config) ([]float64, error) {
	return func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
		measure := order{Op: "receive", Warm: cfg.warm, Span: cfg.span}
		return bulkNumbers(p.both(ctx, p.sut, p.peer, measure, order{Op: "send", N: flows, V6: v6}))
	}
}

// The system under test writes to whoever connects; the peer measures.
func bulkOut(flows int, v6 bool) func(context.Context, *pair, config) ([]float64, error) {
	return func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
		return bulkNumbers(p.peer.call(ctx, order{Op: "receive", N: flows, V6: v6, Warm: cfg.warm, Span: cfg.span}))
	}
}

func roundTrips(ctx context.Context, p *pair, cfg config) ([]float64, error) {
	a, err := p.peer.call(ctx, order{Op: "ping", Warm: cfg.warm, Span: cfg.span})
	return []float64{a.P50, a.P99}, err
}

// peerRate is the rate at which the peer gets something done.
func peerRate(op string, parallel int) func(context.Context, *pair, config) ([]float64, error) {
	return func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
		a, err := p.peer.call(ctx, order{Op: op, N: parallel, Warm: cfg.warm, Span: cfg.span})
		return []float64{a.rate()}, err
	}
}

func datagramsIn(ctx context.Context, p *pair, cfg config) ([]float64, error) {
	measure := order{Op: "receive datagrams", Warm: cfg.warm, Span: cfg.span}
	a, err := p.both(ctx, p.sut, p.peer, measure, order{Op: "send datagrams"})
	return []float64{a.rate()}, err
}

// datagramsOut has each call send so many.
func datagramsOut(each int) func(context.Context, *pair, config) ([]float64, error) {
	return func(ctx context.Context, p *pair, cfg config) ([]float64, error) {
		measure := order{Op: "receive datagrams", Warm: cfg.warm, Span: cfg.span}
		a, err := p.both(ctx, p.peer, p.sut, measure, order{Op: "send datagrams", N: each})
		return []float64{a.rate()}, err
	}
}

func holdConnections(ctx context.Context, p *pair, cfg config) ([]float64, error) {
	if _, err := p.sut.call(ctx, order{Op: "before holding", N: cfg.conns}); err != nil {
		return nil, err
	}
	// Ten thousand handshakes take a second; a slow target gets several.
	if _, err := p.peer.call(ctx, order{Op: "connect", N: cfg.conns, Span: 15 * time.Second}); err != nil {
		return nil, err
	}
	a, err := p.sut.call(ctx, order{Op: "holding", N: cfg.conns})
	return []float64{a.Memory}, err
}

func doNothing(ctx context.Context, p *pair, cfg config) ([]float64, error) {
	a, err := p.sut.call(ctx, order{Op: "idle", Warm: cfg.warm, Span: cfg.idle})
	return []float64{a.rate()}, err
}
