package socketapi_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"tapstack/socketapi"
	"tapstack/tap"
)

// TestNothingIsAllocated by what a connection does all the time. Each of these
// makes no packet, so that the count is exact.
func TestNothingIsAllocated(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connectWith(t, a, b, b4.Addr(), nil, options(map[socketapi.Option]int{socketapi.SO_RCVBUF: 16 << 10}))
	full := make([]byte, 16<<10)
	eventually(t, "the send buffer is full", func() bool {
		_, err := w.Socket().Send(full, 0)
		return errors.Is(err, syscall.EAGAIN) && w.SendBuffer().Window == 0
	})
	p := socketapi.NewPoller()
	defer p.Close()
	if err := p.Add(r, socketapi.EventIn, socketapi.EdgeTriggered, nil); err != nil {
		t.Fatal(err)
	}
	poll(t, p)
	one, events := make([]byte, 1), make([]socketapi.Event, 1)
	message := &socketapi.Message{Buffers: [][]byte{make([]byte, 1)}}
	for name, do := range map[string]func() error{
		"Read":           func() error { _, err := r.Read(one); return err },
		"Recv":           func() error { _, err := r.Socket().Recv(one, socketapi.MsgPeek); return err },
		"RecvMsg":        func() error { _, err := r.Socket().RecvMsg(message, socketapi.MsgPeek); return err },
		"a full Send":    func() error { _, err := w.Socket().Send(one, 0); return again(err) },
		"a full SendMsg": func() error { _, err := w.Socket().SendMsg(message, 0); return again(err) },
		"Buffers":        func() error { w.Buffers(); return nil },
		"Ready":          func() error { w.Socket().Ready(); return nil },
		"a wake-up":      func() error { wake(t, p, r, events); return nil },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// again is nil for the error of a Send that found no room.
func again(err error) error {
	if errors.Is(err, syscall.EAGAIN) {
		return nil
	}
	return err
}

// BenchmarkCalls is what each way to write and to read allocates, both stacks
// included, per 64 KiB.
func BenchmarkCalls(b *testing.B) {
	const size = 64 << 10
	out := make([]byte, size)
	pieces := [][]byte{out[:1000], out[1000:30_000], out[30_000:]}
	for name, write := range map[string]func(*socketapi.TCPConn) error{
		"Write":        func(w *socketapi.TCPConn) error { _, err := w.Write(out); return err },
		"WriteBuffers": func(w *socketapi.TCPConn) error { _, err := w.WriteBuffers(pieces); return err },
	} {
		b.Run(name, func(b *testing.B) { pump(b, write, nil) })
	}
	b.Run("ReadFrom", func(b *testing.B) {
		pump(b, nil, func(w *socketapi.TCPConn, n int64) error {
			_, err := w.ReadFrom(io.LimitReader(zeros{}, n))
			return err
		})
	})
}

// pump moves b.N times 64 KiB, one call each or all at once, to a reader that
// uses WriteTo.
func pump(b *testing.B, each func(*socketapi.TCPConn) error, all func(*socketapi.TCPConn, int64) error) {
	const size = 64 << 10
	da, db := tap.Pipe(&tap.PipeConfig{Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}})
	w, r := connect(b, host(b, da, nil, a4), host(b, db, nil, b4), b4.Addr())
	done := make(chan error, 1)
	go func() { _, err := r.WriteTo(io.Discard); done <- err }()
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	if all != nil {
		if err := all(w, int64(b.N)*size); err != nil {
			b.Fatal(err)
		}
	} else {
		for range b.N {
			if err := each(w); err != nil {
				b.Fatal(err)
			}
		}
	}
	_ = w.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
