package socketapi_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"tapstack/socketapi"
)

// got reads n bytes, or what there is before an error.
func got(c net.Conn, n int) string {
	buf := make([]byte, n)
	m, err := io.ReadFull(c, buf)
	return string(buf[:m]) + " " + verdict(err)
}

var streamRows = []row{
	{name: "zero-byte reads and writes", run: func(p *probe) {
		c, s := p.conns()
		p.see("read: %s", rw(c.Read(nil)))
		p.see("write: %s", rw(c.Write(nil)))
		p.see("read: %s", rw(c.Read([]byte{})))
		_, err := c.Write([]byte("x"))
		p.must(err)
		p.see("arrived: %s", rw(s.Read(make([]byte, 2))))
		p.must(s.Close())
		p.until(p.a, c, socketapi.EventRdHup)
		p.see("read after FIN: %s", rw(c.Read(nil)))
	}},
	{name: "write nothing after CloseWrite", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.CloseWrite())
		p.see("write: %s", rw(c.Write(nil)))
	}},
	{name: "EOF after CloseWrite", run: func(p *probe) {
		c, s := p.conns()
		_, err := c.Write([]byte("last"))
		p.must(err)
		p.see("closewrite: %v", c.CloseWrite())
		p.see("again: %v", c.CloseWrite())
		p.see("read: %s", got(s, 4))
		for range 3 {
			p.see("read: %s", rw(s.Read(make([]byte, 1))))
		}
		p.see("other way: %s", rw(s.Write([]byte("still"))))
		p.see("other way: %s", got(c, 5))
	}},
	{name: "half-close both ways", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.CloseWrite())
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
		p.must(s.CloseWrite())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("closewrite: %v", c.CloseWrite())
		p.see("closeread: %v", c.CloseRead())
		p.see("close: %v, %v", c.Close(), s.Close())
	}},
	{name: "write after CloseWrite", run: func(p *probe) {
		c, _ := p.conns()
		p.must(c.CloseWrite())
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "CloseWrite unblocks write", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		p.fill(c)
		write := p.start(func() string { return rw(c.Write([]byte("x"))) })
		p.see("waits: %v", !write.over())
		p.see("closewrite: %v", c.CloseWrite())
		p.see("write: %s", write.wait())
	}},
	{name: "CloseRead", run: func(p *probe) {
		c, s := p.conns()
		p.see("closeread: %v", c.CloseRead())
		p.see("again: %v", c.CloseRead())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("peer reads: %s", rw(s.Read(make([]byte, 1))))
	}},
	{name: "CloseRead unblocks read", run: func(p *probe) {
		c, _ := p.conns()
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.see("closeread: %v", c.CloseRead())
		p.see("read: %s", read.wait())
	}},
	{name: "CloseRead with bytes unread", run: func(p *probe) {
		c, s := p.conns()
		_, err := s.Write([]byte("abc"))
		p.must(err)
		p.arrived(p.a, c, 3)
		p.must(c.CloseRead())
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
	}},
	{name: "peer writes after CloseRead", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.CloseRead())
		_, err := s.Write([]byte("abc"))
		p.must(err)
		p.arrived(p.a, c, 3)
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
	}},
	{name: "addresses", run: func(p *probe) {
		c, s := p.conns()
		p.see("client %s, %s %T", addrsOf(c), c.LocalAddr().Network(), c.LocalAddr())
		p.see("server %s, %s %T", addrsOf(s), s.LocalAddr().Network(), s.RemoteAddr())
		c, s = p.conns(b6.Addr())
		p.see("client %s", addrsOf(c))
		p.see("server %s", addrsOf(s))
	}},
	{name: "accept order", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		for _, name := range []string{"one", "two", "three"} {
			c := p.dial("tcp", l.Addr().String())
			_, err := c.Write([]byte(name))
			p.must(err)
			// Only then is its handshake over at the other end too.
			eventually(p, "acknowledged", func() bool { return p.a.Unacked(c) == 0 })
			p.must(c.(tcpConn).CloseWrite())
		}
		for range 3 {
			b, err := io.ReadAll(p.accept(l))
			p.see("%s %v", b, err)
		}
	}},
	{name: "bytes written before accept", run: func(p *probe) {
		l := p.listen("tcp", "192.0.2.2:0")
		c := p.dial("tcp", l.Addr().String())
		p.see("write: %s", rw(c.Write([]byte("early"))))
		p.must(c.Close())
		s := p.accept(l)
		p.see("read: %s", got(s, 5))
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
	{name: "net.Buffers", run: func(p *probe) {
		c, s := p.conns()
		bufs := net.Buffers{[]byte("one"), nil, []byte("two"), {}, []byte("three")}
		n, err := bufs.WriteTo(c)
		p.see("%d %v, left %d", n, err, len(bufs))
		p.see("read: %s", got(s, 11))
	}},
	{name: "io.Copy to and from", run: func(p *probe) {
		c, s := p.conns()
		payload := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		var wg sync.WaitGroup
		wg.Go(func() {
			n, err := c.ReadFrom(bytes.NewReader(payload))
			p.see("readfrom: %d %v", n, err)
			p.must(c.CloseWrite())
		})
		var out bytes.Buffer
		n, err := s.WriteTo(&out)
		wg.Wait()
		p.see("writeto: %d %v, same: %v", n, err, bytes.Equal(out.Bytes(), payload))
		n, err = s.WriteTo(&out)
		p.see("after EOF: %d %v", n, err)
		n, err = c.ReadFrom(strings.NewReader(""))
		p.see("nothing: %d %v", n, err)
	}},
	{
		name: "error of ReadFrom",
		run: func(p *probe) {
			c, _ := p.conns()
			p.must(c.CloseWrite())
			n, err := io.Copy(c, io.LimitReader(strings.NewReader("only this"), 4))
			p.see("after CloseWrite: %d %v", n, err)
		},
	},
	{name: "many readers and writers", run: func(p *probe) {
		c, s := p.conns()
		const each, writers = 10_000, 4
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				_, err := c.Write(bytes.Repeat([]byte{byte('a' + i)}, each))
				p.must(err)
			})
		}
		var mu sync.Mutex
		var all []byte
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				buf := make([]byte, 777)
				for {
					n, err := s.Read(buf)
					mu.Lock()
					all = append(all, buf[:n]...)
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		p.must(c.CloseWrite())
		readers.Wait()
		slices.Sort(all)
		for i := range writers {
			p.see("%c: %d", 'a'+i, bytes.Count(all, []byte{byte('a' + i)}))
		}
	}},
	{name: "writes do not interleave", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		const each = 50_000
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				_, err := c.Write(bytes.Repeat([]byte{byte('a' + i)}, each))
				p.must(err)
			})
		}
		all := make([]byte, 3*each)
		_, err := io.ReadFull(s, all)
		p.must(err)
		wg.Wait()
		p.see("runs: %d", len(slices.Compact(all)))
	}},
	{name: "peer's FIN while blocked", run: func(p *probe) {
		c, s := p.conns()
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.must(s.Close())
		p.see("read: %s", read.wait())
	}},
	{name: "read returns what there is", run: func(p *probe) {
		c, s := p.conns()
		_, err := s.Write([]byte("abcdef"))
		p.must(err)
		p.arrived(p.a, c, 6)
		p.see("read: %s", rw(c.Read(make([]byte, 4))))
		p.see("read: %s", rw(c.Read(make([]byte, 100))))
	}},
}

var resetRows = []row{
	{name: "peer closes with bytes unread", differs: "a reset is told to every reader: package net tells one, and the others take it for the end of the stream", run: func(p *probe) {
		c, s := p.conns()
		_, err := c.Write([]byte("never read"))
		p.must(err)
		p.arrived(p.b, s, 10)
		p.must(s.Close())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("read again: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("close: %v", c.Close())
	}},
	{name: "SetLinger(0)", differs: "a reset is told to every reader: package net tells one, and the others take it for the end of the stream", run: func(p *probe) {
		c, s := p.conns()
		p.see("linger: %v", s.SetLinger(0))
		p.see("close: %v", s.Close())
		p.until(p.a, c, socketapi.EventErr)
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("write again: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "reset while reading", differs: "a reset is told to every reader: package net tells one, and the others take it for the end of the stream", run: func(p *probe) {
		c, s := p.conns()
		read := p.start(func() string { return rw(c.Read(make([]byte, 1))) })
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.see("read: %s", read.wait())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "reset while writing", run: func(p *probe) {
		c, s := p.conns()
		p.small(c, s)
		p.fill(c)
		write := p.start(func() string { return rw(c.Write([]byte("x"))) })
		p.see("waits: %v", !write.over())
		p.must(s.Close()) // with bytes unread
		p.see("write: %s", write.wait())
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "bytes received before a reset", run: func(p *probe) {
		c, s := p.conns()
		_, err := s.Write([]byte("abc"))
		p.must(err)
		p.arrived(p.a, c, 3)
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.until(p.a, c, socketapi.EventErr)
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
		p.see("read: %s", rw(c.Read(make([]byte, 10))))
	}},
	{name: "shutdown after a reset", run: func(p *probe) {
		c, s := p.conns()
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.until(p.a, c, socketapi.EventErr)
		p.see("closewrite: %v", c.CloseWrite())
		p.see("closeread: %v", c.CloseRead())
		p.see("nodelay: %v", c.SetNoDelay(true))
		p.see("deadline: %v", c.SetDeadline(time.Now().Add(time.Hour)))
	}},
	{name: "write to a peer that has closed", run: func(p *probe) {
		c, s := p.conns()
		p.must(s.Close())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.until(p.a, c, socketapi.EventHup)
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "linger of seconds still delivers", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.SetLinger(5))
		_, err := c.Write([]byte("abc"))
		p.must(err)
		p.must(c.Close())
		p.see("read: %s", got(s, 3))
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
	{name: "reset in FIN-WAIT-2", differs: "a reset is told to every reader: package net tells one, and the others take it for the end of the stream", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.CloseWrite())
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "reset in CLOSE-WAIT", run: func(p *probe) {
		c, s := p.conns()
		p.must(s.CloseWrite())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.until(p.a, c, socketapi.EventErr)
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
	}},
	{name: "reset in CLOSE-WAIT, told by read", run: func(p *probe) {
		c, s := p.conns()
		p.must(s.CloseWrite())
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.must(s.SetLinger(0))
		p.must(s.Close())
		p.until(p.a, c, socketapi.EventErr)
		p.see("read: %s", rw(c.Read(make([]byte, 1))))
		p.see("write: %s", rw(c.Write([]byte("x"))))
	}},
	{name: "linger off again", run: func(p *probe) {
		c, s := p.conns()
		p.must(c.SetLinger(0))
		p.must(c.SetLinger(-1))
		p.must(c.Close())
		p.see("read: %s", rw(s.Read(make([]byte, 1))))
	}},
}
