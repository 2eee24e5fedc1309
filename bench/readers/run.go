//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// result is a row of the table.
type result struct {
	way    string
	pinned bool
	rounds []figures
	err    error // not measured any more
}

// figures are what one round has found out about a row, by column.
type figures [numColumns]float64

const (
	warm = 50 * time.Millisecond // of a load, before it counts
	idle = 2 * time.Second
)

// run measures everything, round by round: what the machine does beside us
// then hits all rows alike.
func run(rounds int, span time.Duration) ([]*result, error) {
	cores, err := twoCores()
	if err != nil {
		return nil, err
	}
	peers := map[bool]*process{} // by whether it is pinned
	for pinned, cpu := range map[bool]int{true: cores[0], false: -1} {
		p, err := start("Peer", cpu)
		if err != nil {
			return nil, err
		}
		defer p.close()
		peers[pinned] = p
	}
	results := rows()
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "\rround %d of %d", i+1, rounds)
		if err := round(results, peers, cores[1], span); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(os.Stderr)
	return results, nil
}

// rows are all ways pinned, and those that differ in more than a number
// unpinned as well.
func rows() (rows []*result) {
	for _, w := range ways {
		rows = append(rows, &result{way: w.name, pinned: true})
	}
	for _, w := range ways {
		switch w.name {
		case "blocking", "poll", "netpoll", "spin 50 us", "io_uring, 16 reads":
			rows = append(rows, &result{way: w.name})
		}
	}
	return rows
}

// twoCores are the first two that we may run on.
func twoCores() (cores [2]int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cores, os.NewSyscallError("sched_getaffinity", err)
	}
	if set.Count() < 2 {
		return cores, errors.New("a reader and its peer need a core each, and here is one")
	}
	found := 0
	for cpu := 0; found < 2; cpu++ {
		if set.IsSet(cpu) {
			cores[found] = cpu
			found++
		}
	}
	return cores, nil
}

// session is a reader in its process, during a round.
type session struct {
	*process
	row     *result
	subnet  int
	figures figures
}

// round measures every row once under load. Then all readers are idle together:
// what they take is counted by process, and is little.
func round(results []*result, peers map[bool]*process, core int, span time.Duration) error {
	var sessions []*session
	for i, row := range results {
		if row.err != nil {
			continue
		}
		cpu := -1
		if row.pinned {
			cpu = core
		}
		p, err := start("Reader", cpu)
		if err != nil {
			return err
		}
		defer p.close()
		s := &session{process: p, row: row, subnet: i}
		if row.err = s.underLoad(peers[row.pinned], span); row.err == nil {
			sessions = append(sessions, s)
		}
	}
	if err := atRest(sessions); err != nil {
		return err
	}
	for _, s := range sessions {
		var took time.Duration
		if s.row.err = s.call("Stop", none{}, &took); s.row.err == nil {
			s.figures[stopTime] = micros(took)
			s.row.rounds = append(s.row.rounds, s.figures)
		}
	}
	return nil
}

// underLoad opens the reader and measures what depends on its peer.
func (s *session) underLoad(peer *process, span time.Duration) error {
	if err := s.call("Open", OpenArgs{Way: s.row.way, Subnet: s.subnet}, nil); err != nil {
		return err
	}
	large, err := s.flood(peer, span, largeSize, segmentSize)
	if err != nil {
		return err
	}
	small, err := s.flood(peer, span, smallSize, 0)
	if err != nil {
		return err
	}
	before, err := s.sample()
	if err != nil {
		return err
	}
	var rtt Times
	if err := peer.call("Ping", PingArgs{Subnet: s.subnet, For: span}, &rtt); err != nil {
		return err
	}
	after, err := s.sample()
	if err != nil {
		return err
	}
	s.figures[largeRate] = float64(large.Bytes) * 8 / 1e9 / large.seconds()
	s.figures[largeFrames] = float64(large.Frames) / 1e3 / large.seconds()
	s.figures[smallFrames] = float64(small.Frames) / 1e3 / small.seconds()
	s.figures[largeCPU], s.figures[smallCPU] = large.percent(), small.percent()
	s.figures[rtt50], s.figures[rtt99] = micros(rtt.P50), micros(rtt.P99)
	s.figures[rttCPU] = after.since(before).percent()
	return nil
}

// flood has the peer send without a pause, and returns what the reader has
// done in a span of that.
func (s *session) flood(peer *process, span time.Duration, size, segment int) (difference, error) {
	sent := make(chan error, 1)
	go func() {
		sent <- peer.call("Load", LoadArgs{Subnet: s.subnet, Size: size, Segment: segment, For: warm + span + warm}, nil)
	}()
	<-time.After(warm)
	before, err1 := s.sample()
	<-time.After(span)
	after, err2 := s.sample()
	return after.since(before), errors.Join(err1, err2, <-sent)
}

// atRest measures the CPU that idle readers take.
func atRest(sessions []*session) error {
	before := make([]Sample, len(sessions))
	var err error
	for i, s := range sessions {
		if before[i], err = s.sample(); err != nil {
			return err
		}
	}
	<-time.After(idle)
	for i, s := range sessions {
		after, err := s.sample()
		if err != nil {
			return err
		}
		s.figures[idleCPU] = after.since(before[i]).percent()
	}
	return nil
}

func (s *session) sample() (sample Sample, err error) {
	err = s.call("Sample", none{}, &sample)
	return sample, err
}

// difference is what a reader has done between two samples.
type difference struct {
	Sample
	took time.Duration
}

func (s Sample) since(before Sample) difference {
	return difference{
		took:   s.At.Sub(before.At),
		Sample: Sample{Frames: s.Frames - before.Frames, Bytes: s.Bytes - before.Bytes, CPU: s.CPU - before.CPU},
	}
}

func (d difference) seconds() float64 { return d.took.Seconds() }
func (d difference) percent() float64 { return 100 * d.CPU.Seconds() / d.seconds() }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
