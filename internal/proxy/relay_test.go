package proxy

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"tapstack/socketapi"
)

// spied is a stack's connection that notes how its bytes are moved.
type spied struct {
	*socketapi.TCPConn
	spy *spy
}

type spy struct{ reads, writes, writeTo, writeBuffers, readFrom, unsized atomic.Int64 }

func (s spied) Read(p []byte) (int, error) {
	s.spy.reads.Add(1)
	return s.TCPConn.Read(p)
}

func (s spied) Write(p []byte) (int, error) {
	s.spy.writes.Add(1)
	return s.TCPConn.Write(p)
}

func (s spied) WriteTo(w io.Writer) (int64, error) {
	s.spy.writeTo.Add(1)
	return s.TCPConn.WriteTo(w)
}

func (s spied) WriteBuffers(bufs [][]byte) (int64, error) {
	s.spy.writeBuffers.Add(1)
	return s.TCPConn.WriteBuffers(bufs)
}

func (s spied) ReadFrom(r io.Reader) (int64, error) {
	s.spy.readFrom.Add(1)
	if _, ok := r.(interface{ Len() int }); !ok {
		s.spy.unsized.Add(1) // socketapi.TCPConn.ReadFrom would need a buffer
	}
	return s.TCPConn.ReadFrom(r)
}

// spying has a network's connections spied upon.
func spying(n Network, on *spy) Network {
	dial, listen := n.DialContext, n.Listen
	n.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if tc, ok := c.(*socketapi.TCPConn); ok {
			return spied{tc, on}, err
		}
		return c, err
	}
	n.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
		l, err := listen(ctx, network, address)
		return spyListener{l, on}, err
	}
	return n
}

type spyListener struct {
	net.Listener
	on *spy
}

func (l spyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tc, ok := c.(*socketapi.TCPConn); ok {
		return spied{tc, l.on}, err
	}
	return c, err
}

// TestZeroCopy: a stack's connection is read from and written to with the calls
// that copy no more than they must, and with none that needs a buffer of ours.
func TestZeroCopy(t *testing.T) {
	for _, w := range worlds(t, nil) {
		t.Run(w.name, func(t *testing.T) {
			var on spy
			w.near, w.far = spying(w.near, &on), spying(w.far, &on)
			s := forward(t, w, 0, w.echoServer(t, 0))
			c := w.dial(t, s)
			go func() {
				_, _ = io.CopyN(c, zeros{}, 1<<20)
				_ = c.CloseWrite()
			}()
			if n, err := io.Copy(io.Discard, c); n != 1<<20 || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			wantCount(t, s, "an end in peace", ended(CauseClosed))
			if on.reads.Load()+on.writes.Load()+on.unsized.Load() != 0 {
				t.Errorf("%d Reads, %d Writes, %d ReadFroms of unknown length", on.reads.Load(), on.writes.Load(), on.unsized.Load())
			}
			stacks := int64(1) // connections of the service that are a stack's
			if w.nearStack != nil && w.farStack != nil {
				stacks = 2
			}
			if got := on.writeTo.Load(); got != stacks {
				t.Errorf("%d WriteTos for %d connections of stacks", got, stacks)
			}
			if on.writeBuffers.Load()+on.readFrom.Load() == 0 {
				t.Error("nothing was written")
			}
		})
	}
}
