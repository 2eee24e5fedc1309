package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
)

// TestPollerLosesNothing compares a model, what was written to each of many
// connections at random, with what pollers' readers in every mode were woken
// for: a wake-up that is lost leaves bytes unread.
func TestPollerLosesNothing(t *testing.T) {
	t.Parallel()
	const conns, writes, readers = 24, 4000, 3
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	a, b := pair(t, fixed())
	p := socketapi.NewPoller()
	type member struct {
		w, r *socketapi.TCPConn
		mode socketapi.Mode
		got  atomic.Int64
		sent int64
	}
	ms := make([]*member, conns)
	for i := range ms {
		m := &member{mode: socketapi.Mode(i % 3)}
		m.w, m.r = connect(t, a, b, b4.Addr())
		ms[i] = m
		if err := p.Add(m.r, socketapi.EventIn, m.mode, m); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	serve := func(rnd *rand.Rand) {
		events, buf := make([]socketapi.Event, 5), make([]byte, 4096)
		for {
			n, err := p.Wait(context.Background(), events)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			for _, ev := range events[:n] {
				m := ev.Data.(*member)
				for {
					n, err := ev.Socket.Recv(buf[:1+rnd.IntN(len(buf))], 0)
					m.got.Add(int64(n))
					// Edge-triggered reads to the end; the others may stop.
					if err != nil || m.mode != socketapi.EdgeTriggered && rnd.IntN(2) == 0 {
						break
					}
				}
				if m.mode == socketapi.OneShot {
					// Between Remove and Add, which arms it too, it is no member.
					if err := p.Modify(ev.Socket, socketapi.EventIn, m.mode, m); err != nil && !errors.Is(err, syscall.ENOENT) {
						t.Error(err)
					}
				}
			}
		}
	}
	for i := range readers {
		wg.Go(func() { serve(rand.New(rand.NewPCG(seed, uint64(i+1)))) })
	}
	for range writes {
		m := ms[rnd.IntN(conns)]
		n, err := m.w.Write(make([]byte, 1+rnd.IntN(1+rnd.IntN(3000))))
		if err != nil {
			t.Fatal(err)
		}
		m.sent += int64(n)
		if rnd.IntN(50) == 0 {
			// Out and in again: what is there is reported again.
			if err := p.Remove(m.r); err != nil {
				t.Error(err)
			}
			if err := p.Add(m.r, socketapi.EventIn, m.mode, m); err != nil {
				t.Error(err)
			}
		}
	}
	for i, m := range ms {
		eventually(t, fmt.Sprintf("connection %d, mode %d: all %d bytes were read", i, m.mode, m.sent), func() bool { return m.got.Load() == m.sent })
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// many connects n clients of a to one listener of b, in one poller.
func many(tb testing.TB, a, b *stack.Stack, n int, mode socketapi.Mode) (p *socketapi.Poller, ws, rs []*socketapi.TCPConn) {
	tb.Helper()
	l, err := socketapi.Listen(b, "tcp", netip.AddrPortFrom(b4.Addr(), 0).String())
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	p = socketapi.NewPoller()
	d := &socketapi.Dialer{Stack: a}
	for i := range n {
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		s, err := l.AcceptTCP()
		if err != nil {
			tb.Fatal(err)
		}
		ws, rs = append(ws, c.(*socketapi.TCPConn)), append(rs, s)
		if err := p.Add(s, socketapi.EventIn, mode, i); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		_ = p.Close()
		for i := range ws {
			_ = ws[i].Abort()
			_ = rs[i].Abort()
		}
	})
	return p, ws, rs
}

// TestPollerTenThousand wakes each of 10,000 connections in turn: every Wait
// returns that one alone.
func TestPollerTenThousand(t *testing.T) {
	t.Parallel()
	conns := 10_000
	if underRace {
		conns = 1000 // each costs milliseconds then
	}
	a, b := pair(t, nil)
	p, ws, rs := many(t, a, b, conns, socketapi.EdgeTriggered)
	if p.Len() != conns {
		t.Fatalf("%d members", p.Len())
	}
	ctx := within(t)
	events, buf := make([]socketapi.Event, 8), make([]byte, 8)
	for _, i := range rand.Perm(conns) {
		write(t, ws[i], 1)
		n, err := p.Wait(ctx, events)
		if n != 1 || err != nil || events[0].Data != i {
			t.Fatalf("connection %d: %+v, %v", i, events[:n], err)
		}
		if n, err := rs[i].Socket().Recv(buf, 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := rs[0].Socket().Recv(buf, 0); !errors.Is(err, syscall.EAGAIN) {
		t.Error(err)
	}
}

// BenchmarkPollerWake is one wake-up, and the look at what woke, with more and
// more sockets registered: it costs the same. The event is made by hand, so that
// no packet is in the figure.
func BenchmarkPollerWake(b *testing.B) {
	for _, conns := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			sa, sb := pair(b, nil)
			p, ws, rs := many(b, sa, sb, conns, socketapi.EdgeTriggered)
			for i := range ws {
				if _, err := ws[i].Write([]byte("x")); err != nil {
					b.Fatal(err)
				}
			}
			for _, r := range rs {
				if err := r.WaitReadable(within(b), 1); err != nil {
					b.Fatal(err)
				}
			}
			events := make([]socketapi.Event, conns)
			if n, err := p.Poll(events); n != conns || err != nil {
				b.Fatal(n, err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				wake(b, p, rs[i%10], events) // always the same ten, whose memory is at hand
			}
		})
	}
}

// wake makes r, which is readable and edge-triggered, be reported by p.
func wake(tb testing.TB, p *socketapi.Poller, r *socketapi.TCPConn, events []socketapi.Event) {
	socketapi.NotifyReadable(r)
	if n, err := p.Wait(context.Background(), events); n != 1 || err != nil {
		tb.Fatal(n, err)
	}
}
