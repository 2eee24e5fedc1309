// Package netem has models of networks: what a link does to the frames that
// are sent over it. It is the small beginning of devices made of devices.
//
//	Send -> loss -> queue -> rate -> delay -> deliver
//
// A model reads no clock and draws no chance of its own: both are given to it,
// so that in virtual time every run is the same. There are no goroutines; what
// is delivered later is delivered by the clock's timers.
package netem

import (
	"fmt"
	"time"
)

// Clock is what a model's time runs on.
type Clock interface {
	Now() time.Time
	// Schedule calls f after d. Calls for the same instant are made in the
	// order in which they were scheduled.
	Schedule(d time.Duration, f func())
}

// PathConfig is one direction of a link. The zero value delivers everything
// after MinDelay.
type PathConfig struct {
	// Delay is of propagation, one way: MinDelay at least, because at a delay
	// of nothing both ends of a connection can go on answering each other
	// without any time passing.
	Delay time.Duration

	// Rate is in bits per second, Ethernet headers counted; 0 is without
	// limit.
	Rate int64

	// Queue is how many frames may wait or be on their way onto the link,
	// beyond which they are dropped; 0 is 1,000, as Linux has it. It matters
	// only with a Rate.
	Queue int

	// Lose, if not nil, says which frames are lost, counted from 1. Those are
	// lost before the queue.
	Lose func(n int) bool
}

// MinDelay is the smallest delay of a path.
const MinDelay = time.Microsecond

const defaultQueue = 1000

// Stats counts frames of a path.
type Stats struct {
	Sent, Delivered int
	Lost            int // by Lose
	Dropped         int // by the queue
}

// Path is one direction of a link. Its methods are not safe for concurrent
// use, and deliver is called by the clock's timers.
type Path struct {
	cfg     PathConfig
	clock   Clock
	deliver func(frame []byte)

	free   time.Time // when the link has sent all that is queued
	queued int
	stats  Stats
}

// NewPath makes a path on a clock that calls deliver with each frame that
// arrives. The frame is deliver's to keep.
func NewPath(cfg PathConfig, clock Clock, deliver func(frame []byte)) (*Path, error) {
	if cfg.Delay < 0 || cfg.Rate < 0 || cfg.Queue < 0 {
		return nil, fmt.Errorf("delay %v, rate %d, queue %d: must not be negative", cfg.Delay, cfg.Rate, cfg.Queue)
	}
	cfg.Delay = max(cfg.Delay, MinDelay)
	if cfg.Queue == 0 {
		cfg.Queue = defaultQueue
	}
	return &Path{cfg: cfg, clock: clock, deliver: deliver, free: clock.Now()}, nil
}

// Send puts a frame on the path, which owns it from here on.
func (p *Path) Send(frame []byte) {
	p.stats.Sent++
	if p.cfg.Lose != nil && p.cfg.Lose(p.stats.Sent) {
		p.stats.Lost++
		return
	}
	now := p.clock.Now()
	if p.cfg.Rate == 0 {
		p.arrive(p.cfg.Delay, frame)
		return
	}
	if p.queued >= p.cfg.Queue {
		p.stats.Dropped++
		return
	}
	const bits = 8
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(int64(len(frame)) * bits * int64(time.Second) / p.cfg.Rate))
	p.queued++
	onLink := p.free.Sub(now)
	p.clock.Schedule(onLink, func() { p.queued-- })
	p.arrive(onLink+p.cfg.Delay, frame)
}

func (p *Path) arrive(after time.Duration, frame []byte) {
	p.clock.Schedule(after, func() {
		p.stats.Delivered++
		p.deliver(frame)
	})
}

// Stats is a snapshot of the counters. What is neither lost, dropped nor
// delivered is on its way.
func (p *Path) Stats() Stats { return p.stats }
