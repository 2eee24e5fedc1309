package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// bulk moves many bytes each way over one connection, sums checked on both
// sides, and asks both sides what they had to send again.
func (st *story) bulk(ctx context.Context) error {
	for _, c := range []struct {
		from, to string
		listen   func(network, address string) (net.Listener, error)
		dial     func(ctx context.Context, network, address string) (net.Conn, error)
		at       netip.Addr
		seed     byte
	}{
		{st.far.name(), "tapstack", st.listen, st.far.DialContext, ours4.Addr(), 4},
		{"tapstack", st.far.name(), st.far.listen, st.dialer().DialContext, theirs4.Addr(), 5},
	} {
		before, err := st.losses()
		if err != nil {
			return err
		}
		l, err := c.listen("tcp", netip.AddrPortFrom(c.at, 5001).String())
		if err != nil {
			return err
		}
		check := Check{Name: fmt.Sprintf("%s, %s to %s", size(st.cfg.Bytes), c.from, c.to)}
		took, err := st.move(ctx, l, c.dial, c.seed)
		if err != nil {
			check.Detail = err.Error()
			st.record(check)
			continue
		}
		check.OK = true
		check.Gbps = float64(st.cfg.Bytes) * 8 / took.Seconds() / 1e9
		check.Detail = fmt.Sprintf("SHA-256 agrees, %.1f s, %.2f Gbit/s", took.Seconds(), check.Gbps)
		st.record(check)

		after, err := st.losses()
		if err != nil {
			return err
		}
		d := after.minus(before)
		if !st.report.Kernel {
			// Two of our own stacks on one machine, without a D-SACK to tell a
			// probe from a loss: worth saying, not worth a verdict.
			st.say("        sent again: tapstack %d, %s %d segments", d.ours, st.far.name(), d.theirs)
			continue
		}
		st.check("no retransmission of ours beyond what was lost, "+c.from+" to "+c.to, d.ours <= d.ourDrops+d.theirDrops+d.needless,
			"sent again: tapstack %d (%d of them needless, said the receiver), %s %d segments; lost: %d at our device, %d on the %s's side",
			d.ours, d.needless, st.far.name(), d.theirs, d.ourDrops, d.theirDrops, st.far.name())
	}
	return nil
}

// losses are the segments sent again, and what may have been the reason: lost
// frames, or a probe for a loss that was none (DSACK).
type losses struct{ ours, needless, theirs, ourDrops, theirDrops uint64 }

func (st *story) losses() (losses, error) {
	s := st.s.Stats()
	l := losses{ours: s.TCP.Retransmits, needless: s.TCP.DSACKs}
	for _, n := range s.NICs {
		l.ourDrops += n.Device.RxDrops.Total() + n.Device.TxDrops.Total()
	}
	far, err := st.far.counters()
	l.theirs, l.theirDrops = far.Retransmits, far.Drops
	return l, err
}

func (l losses) minus(m losses) losses {
	return losses{
		l.ours - m.ours, l.needless - m.needless, l.theirs - m.theirs,
		l.ourDrops - m.ourDrops, l.theirDrops - m.theirDrops,
	}
}

// move dials l, writes noise and compares what arrives. It returns the time
// from the first byte written to the last one read.
func (st *story) move(ctx context.Context, l net.Listener, dial func(context.Context, string, string) (net.Conn, error), seed byte) (time.Duration, error) {
	defer l.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, in, err := connect(ctx, l, dial)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	defer in.Close()
	// Ctrl-C ends it at once.
	defer context.AfterFunc(ctx, func() { _ = out.Close(); _ = in.Close() })()

	type sent struct {
		sum string
		err error
	}
	done := make(chan sent, 1)
	start := time.Now()
	go func() {
		h := sha256.New()
		_, err := io.CopyBuffer(struct{ io.Writer }{out}, io.TeeReader(noise(seed, st.cfg.Bytes), h), make([]byte, 256<<10))
		if err == nil {
			err = out.(closeWriter).CloseWrite()
		}
		done <- sent{hex.EncodeToString(h.Sum(nil)), err}
	}()
	bar := st.progress("moving", st.cfg.Bytes)
	got, n, err := digest(io.TeeReader(in, bar))
	took := time.Since(start)
	_ = bar.Close()
	if err != nil {
		_ = out.Close()
	}
	s := <-done
	if err := errors.Join(err, s.err); err != nil {
		return 0, fmt.Errorf("after %d bytes: %w", n, err)
	}
	if n != st.cfg.Bytes || got != s.sum {
		return 0, fmt.Errorf("%d bytes with SHA-256 %s arrived, %d with %s were sent", n, got, st.cfg.Bytes, s.sum)
	}
	return took, nil
}

// connect makes one connection to l and gives both ends, bound by ctx's
// deadline.
func connect(ctx context.Context, l net.Listener, dial func(context.Context, string, string) (net.Conn, error)) (client, server net.Conn, err error) {
	client, err = dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	at, _ := ctx.Deadline()
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(at)
	}
	server, err = l.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	_ = client.SetDeadline(at)
	_ = server.SetDeadline(at)
	return client, server, nil
}
