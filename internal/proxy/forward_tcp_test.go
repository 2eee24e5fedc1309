package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tapstack/socketapi"
	"tapstack/stack"
)

func forward(t testing.TB, w *world, family int, target string) *Service {
	t.Helper()
	s, err := ForwardTCP(TCPForward{Options: w.options(family), Target: target})
	return ending(t, s, err)
}

// TestForwardTCP moves bytes both ways at the same time, between every pair of
// networks and families.
func TestForwardTCP(t *testing.T) {
	data := make([]byte, 256<<10+17)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(data)
	want := sha256.Sum256(data)
	for _, w := range worlds(t, nil) {
		for _, families := range [][2]int{{0, 0}, {1, 1}, {0, 1}, {1, 0}} {
			t.Run(w.name, func(t *testing.T) {
				l := w.listen(t, families[1])
				s := forward(t, w, families[0], l.Addr().String())
				client := w.dial(t, s)
				target := accept(t, l)
				var all sync.WaitGroup
				for _, c := range []conn{client, target} {
					all.Go(func() {
						if _, err := c.Write(data); err != nil {
							t.Error(err)
						}
						if err := c.CloseWrite(); err != nil {
							t.Error(err)
						}
					})
					all.Go(func() {
						h := sha256.New()
						n, err := io.Copy(h, c)
						if err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
							t.Errorf("got %d bytes that are not the %d sent: %v", n, len(data), err)
						}
					})
				}
				all.Wait()
				wantCount(t, s, "an end in peace", ended(CauseClosed))
				got := s.Snapshot()
				if got.BytesIn != uint64(len(data)) || got.BytesOut != uint64(len(data)) || got.Opened != 1 {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// TestHalfClose: each side's FIN is carried over, and the other direction goes
// on.
func TestHalfClose(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for _, clientFirst := range []bool{true, false} {
			t.Run(w.name, func(t *testing.T) {
				l := w.listen(t, 0)
				s := forward(t, w, 0, l.Addr().String())
				first, second := w.dial(t, s), accept(t, l)
				if !clientFirst {
					first, second = second, first
				}
				if _, err := io.WriteString(first, "question"); err != nil {
					t.Fatal(err)
				}
				if err := first.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				wantEOF(t, second, "question")
				if s.Snapshot().Active != 1 {
					t.Error("it ended with half of it open")
				}
				for range 3 {
					if _, err := io.WriteString(second, "answer"); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 6)
					if _, err := io.ReadFull(first, got); err != nil || string(got) != "answer" {
						t.Fatalf("%q, %v", got, err)
					}
				}
				_ = second.Close()
				wantEOF(t, first, "")
				wantCount(t, s, "an end in peace", ended(CauseClosed))
			})
		}
	}
}

// TestResetIsCarriedOver: what ends in a RST on one side does on the other.
func TestResetIsCarriedOver(t *testing.T) {
	for _, w := range worlds(t, nil) {
		for _, byClient := range []bool{true, false} {
			t.Run(w.name, func(t *testing.T) {
				l := w.listen(t, 0)
				s := forward(t, w, 0, l.Addr().String())
				one, other := w.dial(t, s), accept(t, l)
				if !byClient {
					one, other = other, one
				}
				if _, err := io.WriteString(one, "x"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				reset(one)
				wantReset(t, other)
				wantCount(t, s, "a reset", ended(CauseReset))
			})
		}
	}
}

// TestForwardToNowhere: the client of a target that refuses, or that cannot be
// reached, is reset, and the snapshot tells which.
func TestForwardToNowhere(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			s := forward(t, w, 0, w.closedPort(t))
			w.wantRejected(t, s)
			wantCount(t, s, "refused", refused(CauseRefused))
		})
	}
	t.Run("no route", func(t *testing.T) {
		w := stacks(t)
		s := forward(t, w, 0, "198.51.100.1:80")
		w.wantRejected(t, s)
		wantCount(t, s, "unreachable", refused(CauseUnreachable))
	})
	t.Run("no name", func(t *testing.T) {
		w := stacks(t)
		s := forward(t, w, 0, "nobody.example:80")
		w.wantRejected(t, s)
		wantCount(t, s, "no name", refused(CauseName))
	})
}

func TestForwardByName(t *testing.T) {
	w := stacks(t)
	_, port, _ := net.SplitHostPort(w.echoServer(t, 0))
	s := forward(t, w, 0, "target.example:"+port)
	echoes(t, w.dial(t, s), "hello")
}

// fixedBuffers is a stack whose buffers do not grow.
func fixedBuffers() *stack.Config {
	return &stack.Config{TCP: stack.TCPConfig{
		SendBuffer:    stack.BufferRange{Default: 64 << 10, Max: 64 << 10},
		ReceiveBuffer: stack.BufferRange{Default: 64 << 10, Max: 64 << 10},
		NoAutotune:    true,
	}}
}

// established is the service's own connection on s, as ss would show it.
func established(t testing.TB, s *stack.Stack) (out socketapi.SocketInfo) {
	t.Helper()
	n := 0
	for _, so := range socketapi.TCPSockets(s) {
		if so.State == socketapi.Established {
			out = so
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d connections", n)
	}
	return out
}

// TestSlowTargetHoldsBackTheClient: with a target that does not read, the bytes
// stay in the buffers, all of them seen full, the client's window closes, and
// its Write waits. Then everything arrives.
func TestSlowTargetHoldsBackTheClient(t *testing.T) {
	for _, w := range worlds(t, fixedBuffers()) {
		t.Run(w.name, func(t *testing.T) {
			l := w.listen(t, 0)
			s := forward(t, w, 0, l.Addr().String())
			client, target := w.dial(t, s), accept(t, l)
			if tc, ok := client.(*net.TCPConn); ok {
				_ = tc.SetWriteBuffer(64 << 10)
			}
			t.Cleanup(func() {
				if !t.Failed() {
					return
				}
				for _, s := range []*stack.Stack{w.nearStack, w.farStack} {
					if s != nil {
						t.Logf("%+v", socketapi.TCPSockets(s))
					}
				}
				if tc, ok := client.(*socketapi.TCPConn); ok {
					t.Logf("client %+v", tc.SendBuffer())
				}
			})
			size := 4 << 20 // more than all buffers hold
			if w.nearStack == nil || w.farStack == nil {
				size = 32 << 20 // the kernel's grow
			}
			chunk := make([]byte, 64<<10)
			wrote := make(chan int, 1)
			var taken atomic.Int64 // of the client's bytes
			go func() {
				n := 0
				for n < size {
					k, err := client.Write(chunk)
					n += k
					taken.Store(int64(n))
					if err != nil {
						t.Error(err)
						break
					}
				}
				_ = client.CloseWrite()
				wrote <- n
			}()
			if w.nearStack != nil {
				eventually(t, "the client's window is closed by a full receive buffer", func() bool {
					rcv := established(t, w.nearStack).Receive
					return rcv.Free < segment && rcv.Window < segment
				})
			}
			if w.farStack != nil {
				eventually(t, "the send buffer towards the target is full, and so is the target", func() bool {
					snd := established(t, w.farStack).Send
					return full(snd)
				})
			}
			if from, ok := client.(*socketapi.TCPConn); ok {
				eventually(t, "the client waits", func() bool {
					snd := from.SendBuffer()
					return full(snd)
				})
			}
			select {
			case n := <-wrote:
				t.Fatalf("all %d bytes went somewhere", n)
			default:
			}
			// Send and receive buffer, twice; receive buffers are counted in memory
			// and grow by a segment beyond; and what is borrowed on the way.
			if got := taken.Load(); w.nearStack != nil && w.farStack != nil && got > 4*(64<<10)+256<<10 {
				t.Errorf("%d bytes are in between", got)
			}
			n, err := io.Copy(io.Discard, target)
			if sent := <-wrote; err != nil || n != int64(sent) {
				t.Errorf("%d of %d bytes arrived: %v", n, sent, err)
			}
		})
	}
}

// TestSlowClientHoldsBackTheTarget is the other direction.
func TestSlowClientHoldsBackTheTarget(t *testing.T) {
	for _, w := range worlds(t, fixedBuffers()) {
		t.Run(w.name, func(t *testing.T) {
			l := w.listen(t, 0)
			s := forward(t, w, 0, l.Addr().String())
			client, target := w.dial(t, s), accept(t, l)
			size := int64(4 << 20)
			if w.farStack == nil || w.nearStack == nil {
				size = 32 << 20 // the kernel's send buffers grow to megabytes
			}
			wrote := make(chan error, 1)
			go func() {
				_, err := io.CopyN(struct{ io.Writer }{target}, zeros{}, size)
				_ = target.CloseWrite()
				wrote <- err
			}()
			if ours, ok := target.(*socketapi.TCPConn); ok {
				eventually(t, "the target waits for a window", func() bool {
					return full(ours.SendBuffer()) && established(t, w.farStack).Receive.Free < segment
				})
			}
			if w.nearStack != nil {
				eventually(t, "the send buffer towards the client is full, and so is the client", func() bool {
					return full(established(t, w.nearStack).Send)
				})
			}
			select {
			case err := <-wrote:
				t.Fatalf("all %d bytes went somewhere: %v", size, err)
			default:
			}
			n, err := io.Copy(io.Discard, client)
			if werr := <-wrote; err != nil || werr != nil || n != size {
				t.Errorf("%d of %d bytes arrived: %v, %v", n, size, err, werr)
			}
		})
	}
}

// segment is the payload of a full one; a sender waits for that much window.
const segment = 1440

// full is a send buffer that nothing can leave, and whose writer waits: gVisor
// wakes one when less than half is used.
func full(b socketapi.SendBuffer) bool { return b.Window < segment && b.Unsent >= b.Size/2 }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestListenErrors(t *testing.T) {
	w := stacks(t)
	o := w.options(0)
	o.Address = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), 80).String()
	for name, start := range map[string]func() (*Service, error){
		"forward-tcp": func() (*Service, error) { return ForwardTCP(TCPForward{Options: o}) },
		"forward-udp": func() (*Service, error) { return ForwardUDP(UDPForward{Options: o}) },
		"socks5":      func() (*Service, error) { return SOCKS5(SOCKS5Config{Options: o}) },
		"http":        func() (*Service, error) { return HTTP(HTTPConfig{Options: o}) },
	} {
		if _, err := start(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s: %v, want EADDRNOTAVAIL", name, err)
		}
	}
	if _, err := ForwardTCP(TCPForward{Options: w.options(0), SendPROXY: 3}); err == nil {
		t.Error("version 3 of the PROXY protocol was taken")
	}
}
