package socketapi_test

import (
	"fmt"
	"io"
	"testing"

	"tapstack/socketapi"
	"tapstack/tap"
)

// over makes a connection over a pipe with the offloads of a TAP.
func over(b *testing.B) (w, r *socketapi.TCPConn) {
	return overPipe(b, &tap.PipeConfig{Offloads: tap.Offloads{Csum: true, TSO4: true, TSO6: true}})
}

func overPipe(b *testing.B, cfg *tap.PipeConfig) (w, r *socketapi.TCPConn) {
	da, db := tap.Pipe(cfg)
	return connect(b, host(b, da, nil, a4), host(b, db, nil, b4), b4.Addr())
}

// BenchmarkStream is Write, both stacks and Read: bytes and allocations per
// 64 KiB.
func BenchmarkStream(b *testing.B) {
	w, r := over(b)
	stream(b, w, r)
}

// BenchmarkAccounting is BenchmarkStream in large segments and in ones of an MTU,
// with and without an account at both ends.
func BenchmarkAccounting(b *testing.B) {
	for _, size := range []string{"large", "small"} {
		for _, on := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/%v", size, on), func(b *testing.B) {
				w, r := overPipe(b, maxSegLinks[size+" frames"])
				for _, c := range []*socketapi.TCPConn{w, r} {
					if err := c.SetAccounting(on); err != nil {
						b.Fatal(err)
					}
				}
				stream(b, w, r)
			})
		}
	}
}

// stream moves 64 KiB at a time from w to r.
func stream(b *testing.B, w, r *socketapi.TCPConn) {
	b.Helper()
	out, in := make([]byte, 64<<10), make([]byte, 64<<10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := r.Read(in); err != nil {
				return
			}
		}
	}()
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(out); err != nil {
			b.Fatal(err)
		}
	}
	_ = w.Close()
	<-done
}

// BenchmarkPingPong is a round trip of 64 bytes.
func BenchmarkPingPong(b *testing.B) {
	w, r := over(b)
	go func() { _, _ = io.Copy(r, struct{ io.Reader }{r}) }()
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(w, msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuffers is what a look at both buffers costs.
func BenchmarkBuffers(b *testing.B) {
	w, _ := over(b)
	b.ReportAllocs()
	for b.Loop() {
		w.Buffers()
	}
}
