package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"tapstack/tap"
)

// ReplayConfig describes a replay. The zero value writes all frames at their
// own timing.
type ReplayConfig struct {
	// Speed is by how much to hurry: 2 is twice as fast as it was captured,
	// 0 means 1, and math.Inf(1) is flat out.
	Speed float64

	// MaxFrames ends the replay when that many were written; 0 means all.
	MaxFrames uint64

	// Direction is Inbound or Outbound to write only frames that the file
	// marks so; AnyDirection, the zero value, writes all.
	Direction Direction

	// Now and Wait are the clock; nil means the system's. Wait returns after
	// d, or before it with an error, which ends the replay; the system's
	// gives that of ctx when that is done.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
}

// ReplayStats counts what a replay did with the frames it read.
type ReplayStats struct {
	Frames, Bytes uint64 // written
	Skipped       uint64 // of the other direction
	Truncated     uint64 // not written, because the file has only a part of them
	Refused       uint64 // dropped by the device, which has counted them by cause
}

// Validate reports the first thing in c that no replay can have, in one line.
func (c *ReplayConfig) Validate() error {
	switch {
	case c.Speed < 0 || math.IsNaN(c.Speed):
		return fmt.Errorf("speed %v: choose more than 0, infinity for flat out, or 0 for the default", c.Speed)
	case c.Direction > Outbound:
		return fmt.Errorf("%v: choose inbound, outbound, or any", c.Direction)
	case (c.Now == nil) != (c.Wait == nil):
		return errors.New("half a clock: set both Now and Wait, or none")
	}
	return nil
}

// Replay reads r to its end and writes the frames into dev, all to its first
// queue: spread over queues they would not stay in order. A cfg of nil is the
// default. It neither closes dev nor minds others that use it.
//
// A frame is written when as much time has passed since the first one as had
// in the capture, and at once when it is late. An offloaded frame is written
// as offloaded as it was, and refused by a device without that offload, as is
// one that exceeds the device's MTU.
//
// The error is nil at the end of the file and at MaxFrames; else that of ctx,
// a *FormatError of r after all that was readable, net.ErrClosed or
// tap.ErrGone from dev, or what cfg.Validate has to say.
func Replay(ctx context.Context, dev tap.Device, r *Reader, cfg *ReplayConfig) (ReplayStats, error) {
	if cfg == nil {
		cfg = &ReplayConfig{}
	}
	if err := cfg.Validate(); err != nil {
		return ReplayStats{}, fmt.Errorf("replay: %w", err)
	}
	p := replay{queue: dev.Queues()[0], cfg: *cfg}
	if p.cfg.Speed == 0 {
		p.cfg.Speed = 1
	}
	if p.cfg.Now == nil {
		p.cfg.Now, p.cfg.Wait = time.Now, wait
	}
	err := p.run(ctx, r)
	return p.stats, err
}

type replay struct {
	cfg   ReplayConfig
	queue tap.Queue
	bufs  [1][]byte
	stats ReplayStats

	began time.Time // when the first frame was written
	first time.Time // and its time in the capture; zero before that
}

func (p *replay) run(ctx context.Context, r *Reader) error {
	for p.cfg.MaxFrames == 0 || p.stats.Frames < p.cfg.MaxFrames {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case p.cfg.Direction != AnyDirection && p.cfg.Direction != f.Direction:
			p.stats.Skipped++
			continue
		case len(f.Data) < f.Length:
			p.stats.Truncated++
			continue
		}
		if err := p.waitFor(ctx, f.Time); err != nil {
			return err
		}
		if err := p.write(&f); err != nil {
			return err
		}
	}
	return nil
}

// waitFor waits until the frame captured at t is due.
func (p *replay) waitFor(ctx context.Context, t time.Time) error {
	if math.IsInf(p.cfg.Speed, 1) || t.IsZero() {
		return nil
	}
	if p.first.IsZero() {
		p.first, p.began = t, p.cfg.Now()
	}
	// In a file that lies, or at a speed close to 0, this may be centuries;
	// stay within what a Duration holds.
	due := float64(t.Sub(p.first)) / p.cfg.Speed
	due = max(0, min(due, math.MaxInt64/2))
	if d := time.Duration(due) - p.cfg.Now().Sub(p.began); d > 0 {
		return p.cfg.Wait(ctx, d)
	}
	return nil
}

// write writes a frame. What the device says of this frame alone is counted.
func (p *replay) write(f *Frame) error {
	p.bufs[0] = f.Data
	err := p.queue.Write(p.bufs[:], f.Offload)
	switch {
	case err == nil:
		p.stats.Frames++
		p.stats.Bytes += uint64(len(f.Data))
	case errors.Is(err, tap.ErrFull), errors.Is(err, tap.ErrFrame), errors.Is(err, tap.ErrDown):
		p.stats.Refused++
	default:
		return err
	}
	return nil
}

// wait is the system's clock.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
