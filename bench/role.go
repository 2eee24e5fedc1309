//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// roleArg as the first argument makes this program a peer, a system under
// test or a relay: it obeys orders instead of giving them.
const roleArg = "-as"

// playRole does so if args say so, until standard input ends.
func playRole(args []string) bool {
	if len(args) != 3 || args[1] != roleArg {
		return false
	}
	switch args[2] {
	case "peer":
		obey((&peer{}).do)
	case "sut":
		obey((&sut{}).do)
	case "relay":
		obey((&relay{}).do)
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", args[2])
		os.Exit(2)
	}
	return true
}

// obey carries out orders one by one. When the coordinator is gone the process
// ends at once, whatever it is doing: the kernel then removes sockets and TAP.
func obey(do func(order) (answer, error)) {
	orders := make(chan order)
	go func() {
		for in := json.NewDecoder(os.Stdin); ; {
			var o order
			if in.Decode(&o) != nil {
				os.Exit(0)
			}
			orders <- o
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for o := range orders {
		a, err := do(o)
		if err != nil {
			a = a.failed(err)
		}
		if out.Encode(a) != nil {
			os.Exit(0)
		}
	}
}

// during runs the loads and measures meanwhile how fast total grows. A load
// runs until its context ends; one that ends earlier has failed, and the
// measurement with it.
func during(o order, total func() int64, loads ...func(context.Context) error) (answer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, len(loads))
	var running sync.WaitGroup
	for _, load := range loads {
		running.Go(func() { ended <- load(ctx) })
	}
	defer running.Wait()
	defer cancel()
	return window(o, total, ended)
}

// window takes the two samples: Warm after the first arrival, and Span later.
func window(o order, total func() int64, ended <-chan error) (answer, error) {
	if err := until(patience/2, "waiting for the first to arrive", func() bool { return total() > 0 || len(ended) > 0 }); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errNothing, err)
	}
	var samples [2]sample
	for i, wait := range []time.Duration{o.Warm, o.Span} {
		select {
		case <-time.After(wait):
		case err := <-ended:
			if err == nil {
				err = errors.New("the load ended by itself")
			}
			return answer{}, err
		}
		var err error
		if samples[i], err = take(total); err != nil {
			return answer{}, err
		}
	}
	a := answer{
		Count:   float64(samples[1].total - samples[0].total),
		Seconds: samples[1].at.Sub(samples[0].at).Seconds(),
		CPU:     samples[1].cpu - samples[0].cpu,
	}
	if a.Count == 0 {
		return a, fmt.Errorf("%w in %.2f s", errNothing, a.Seconds)
	}
	return a, nil
}

// sample is one end of a measurement.
type sample struct {
	at    time.Time
	total int64
	cpu   float64 // seconds that the machine has worked
}

func take(total func() int64) (sample, error) {
	// Reading /proc/stat may lose the processor; clock and count are read
	// together.
	cpu, err := machineCPU()
	return sample{at: time.Now(), total: total(), cpu: cpu}, err
}

// until polls for something that has no event to wait for.
func until(limit time.Duration, what string, ok func() bool) error {
	deadline := time.After(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
	return nil
}
