package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tapstack/socketapi"
)

// The behaviour table: what package net does over the kernel's sockets, row by
// row, and that ours do the same. A row is a function that drives two hosts and
// writes down what it sees. It is run twice,
//
//	TestBehaviour -> row.run -> probe.see   two namespaces joined by a veth pair, package net
//	              -> row.run -> probe.see   two stacks joined by a pipe, this package
//
// and the two transcripts are compared. The hosts have the same addresses in
// both worlds. A row that says why it differs has to differ.
type row struct {
	name    string
	differs string // why the transcripts are not the same; empty: they are
	run     func(p *probe)
}

// node is a host as a row sees it.
type node interface {
	// Dial is net.Dialer's DialContext, with d's fields.
	Dial(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error)
	Listen(network, address string) (tcpListener, error)
	ListenPacket(network, address string) (udpConn, error)
	ListenMulticast(network, group string) (udpConn, error)

	// Events is what poll(2) says of a socket, Queued what SIOCINQ does.
	Events(x any) socketapi.Events
	Queued(x any) int
	// Unacked is what SIOCOUTQ says.
	Unacked(x any) int
	// Option reads an option of a TCP connection.
	Option(x any, o socketapi.Option) int
	// SetOption sets an option of a UDP socket.
	SetOption(x any, o socketapi.Option, v int) error
}

// What *net.TCPConn and *socketapi.TCPConn have in common, and so on.
type (
	tcpConn interface {
		net.Conn
		io.ReaderFrom
		io.WriterTo
		CloseRead() error
		CloseWrite() error
		SetLinger(int) error
		SetNoDelay(bool) error
		SetKeepAlive(bool) error
		SetKeepAlivePeriod(time.Duration) error
		SetKeepAliveConfig(net.KeepAliveConfig) error
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}
	tcpListener interface {
		net.Listener
		SetDeadline(time.Time) error
	}
	udpConn interface {
		net.Conn
		net.PacketConn
		ReadFromUDP([]byte) (int, *net.UDPAddr, error)
		ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
		ReadMsgUDP(p, oob []byte) (n, oobn, flags int, from *net.UDPAddr, err error)
		ReadMsgUDPAddrPort(p, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error)
		WriteToUDP([]byte, *net.UDPAddr) (int, error)
		WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
		WriteMsgUDP(p, oob []byte, to *net.UDPAddr) (n, oobn int, err error)
		WriteMsgUDPAddrPort(p, oob []byte, to netip.AddrPort) (n, oobn int, err error)
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}
)

// probe is one run of a row: two hosts, and what was seen.
type probe struct {
	testing.TB
	a, b  node
	lines []string
}

// see writes a line. Errors are written by what errors.Is tells of them.
func (p *probe) see(format string, args ...any) {
	for i, a := range args {
		if err, ok := a.(error); ok || a == nil {
			args[i] = verdict(err)
		}
	}
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

// must ends the row on an error where none is the subject.
func (p *probe) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%v, after:\n%s", err, strings.Join(p.lines, "\n"))
	}
}

// verdict is an error in words that both worlds share.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	if err == io.EOF { //nolint:errorlint // bare io.EOF is what is promised
		return "EOF"
	}
	out := core(err)
	var sys *os.SyscallError
	if errors.As(err, &sys) && sys.Syscall != "connect" {
		out = "syscall " + out
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		out += " (timeout)"
	}
	op, ok := err.(*net.OpError) //nolint:errorlint // it must be the outermost
	if ok && op.Net != "" && !errors.As(err, new(net.UnknownNetworkError)) {
		// Package net has what was dialled or listened on, such as "tcp4"; ours
		// says that of dials and listens alone.
		op.Net = strings.TrimRight(op.Net, "46")
	}
	if ok && op.Op == "set" {
		// Package net has the local address sometimes here and sometimes there.
		out = "set " + op.Net + ": " + out
	} else if ok {
		out = fmt.Sprintf("%s %s %v->%v: %s", op.Op, op.Net, op.Source, op.Addr, out)
	} else if errno := syscall.Errno(0); !errors.As(err, &errno) || error(errno) != err { //nolint:errorlint // bare
		out = "not an OpError: " + out
	}
	return out
}

func core(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded // std has two names for it
	}
	for _, known := range []error{net.ErrClosed, context.Canceled, os.ErrDeadlineExceeded, net.ErrWriteToConnected, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return "<" + known.Error() + ">"
		}
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	for _, as := range []any{new(*net.AddrError), new(*net.DNSError), new(net.UnknownNetworkError), new(*net.ParseError), new(net.InvalidAddrError)} {
		if errors.As(err, as) {
			return strings.TrimLeft(fmt.Sprintf("%T", as), "*")
		}
	}
	return fmt.Sprintf("%T", err)
}

// call is a call that waits.
type call struct {
	p   *probe
	out chan string
}

// start runs f and returns once it waits for something, or is over.
func (p *probe) start(f func() string) *call {
	p.Helper()
	c := &call{p, make(chan string, 1)}
	id := make(chan string)
	go func() {
		buf := make([]byte, 64)
		id <- strings.Fields(string(buf[:runtime.Stack(buf, false)]))[1]
		c.out <- f()
	}()
	header := "\ngoroutine " + <-id + " ["
	eventually(p, "the call waits", func() bool { return len(c.out) == 1 || parked(header) })
	return c
}

// parked reports whether a goroutine waits.
func parked(header string) bool {
	buf := make([]byte, 1<<20)
	stacks := "\n" + string(buf[:runtime.Stack(buf, true)])
	_, state, found := strings.Cut(stacks, header)
	return found && slices.ContainsFunc([]string{"IO wait", "chan receive", "select", "sync.", "semacquire"}, func(s string) bool {
		return strings.HasPrefix(state, s)
	})
}

// wait is what the call returned.
func (c *call) wait() string {
	c.p.Helper()
	select {
	case out := <-c.out:
		return out
	case <-within(c.p).Done():
		c.p.Fatal("the call never returned")
		return ""
	}
}

// over reports whether the call has returned already.
func (c *call) over() bool { return len(c.out) == 1 }

// listen listens at an address of b.
func (p *probe) listen(network, address string) tcpListener {
	p.Helper()
	l, err := p.b.Listen(network, address)
	p.must(err)
	p.Cleanup(func() { l.Close() })
	return l
}

// dial connects from a.
func (p *probe) dial(network, address string) net.Conn {
	p.Helper()
	c, err := p.a.Dial(within(p), net.Dialer{}, network, address)
	p.must(err)
	p.Cleanup(func() { c.Close() })
	return c
}

// conns is a connection from a to b, over IPv4 unless said.
func (p *probe) conns(addr ...netip.Addr) (client, server tcpConn) {
	p.Helper()
	to := append(addr, b4.Addr())[0]
	l := p.listen("tcp", netip.AddrPortFrom(to, 0).String())
	defer l.Close()
	client = p.dial("tcp", l.Addr().String()).(tcpConn)
	return client, p.accept(l)
}

func (p *probe) accept(l tcpListener) tcpConn {
	p.Helper()
	p.must(l.SetDeadline(time.Now().Add(20 * time.Second)))
	c, err := l.Accept()
	p.must(err)
	p.Cleanup(func() { c.Close() })
	return c.(tcpConn)
}

// packet is a UDP socket at an address of a host; it reads for 20 s at most.
func (p *probe) packet(n node, network, address string) udpConn {
	p.Helper()
	c, err := n.ListenPacket(network, address)
	p.must(err)
	p.Cleanup(func() { c.Close() })
	p.must(c.SetReadDeadline(time.Now().Add(20 * time.Second)))
	return c
}

// until waits for poll(2) to say all of ev.
func (p *probe) until(n node, x any, ev socketapi.Events) {
	p.Helper()
	eventually(p, ev.String(), func() bool { return n.Events(x)&ev == ev })
}

// arrived waits for n bytes in a connection's receive buffer.
func (p *probe) arrived(at node, x any, n int) {
	p.Helper()
	eventually(p, strconv.Itoa(n)+" bytes arrive", func() bool { return at.Queued(x) >= n })
}

// rw is what a read or a write returned.
func rw(n int, err error) string { return fmt.Sprintf("%d %s", n, verdict(err)) }

// fill writes until both buffers are full: the next byte waits.
func (p *probe) fill(c net.Conn) (n int) {
	p.Helper()
	at := p.a
	for misses := 0; misses < 3; {
		p.must(c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)))
		m, err := c.Write(make([]byte, 64<<10))
		n += m
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			p.must(err)
		case at.Events(c)&socketapi.EventOut == 0 && m == 0:
			misses++
		}
	}
	p.must(c.SetWriteDeadline(time.Time{}))
	return n
}

// ephemeral are ports that a stack chose: those of the rows are below.
var ephemeral = regexp.MustCompile(`:(\d{5})\b`)

// transcript is what was seen, with the same names for the same ports.
func (p *probe) transcript() string {
	names := map[string]string{}
	return ephemeral.ReplaceAllStringFunc(strings.Join(p.lines, "\n"), func(port string) string {
		if names[port] == "" {
			names[port] = ":port" + string(rune('A'+len(names)))
		}
		return names[port]
	})
}

// TestBehaviour runs the table.
func TestBehaviour(t *testing.T) {
	kernelA, kernelB := kernelPair(t)
	rows := slices.Concat(closeRows, deadlineRows, streamRows, resetRows, datagramRows, datagramErrorRows,
		connectedRows, multicastRows, oobRows, addressRows, reuseRows, dialRows, dialAddressRows, listenRows, optionRows)
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.name] {
			t.Fatalf("two rows %q", r.name)
		}
		seen[r.name] = true
		t.Run(r.name, func(t *testing.T) {
			want := &probe{TB: t, a: kernelA, b: kernelB}
			r.run(want)
			a, b := pair(t, nil)
			got := &probe{TB: t, a: ourNode{a}, b: ourNode{b}}
			warm(got)
			r.run(got)
			compare(t, r.differs, want.transcript(), got.transcript())
		})
	}
}

// compare demands the same, or a difference where one is declared.
func compare(t *testing.T, differs, kernel, ours string) {
	t.Helper()
	switch {
	case kernel == "":
		t.Error("the row sees nothing")
	case differs == "" && kernel != ours:
		t.Errorf("not as the kernel:\n%s", diff(kernel, ours))
	case differs != "" && kernel == ours:
		t.Errorf("no longer differs: %s\n%s", differs, ours)
	case differs != "":
		t.Logf("differs: %s\n%s", differs, diff(kernel, ours))
	}
}

// diff puts lines that are not the same below each other.
func diff(kernel, ours string) string {
	k, o := strings.Split(kernel, "\n"), strings.Split(ours, "\n")
	var out strings.Builder
	for i := range max(len(k), len(o)) {
		var x, y string
		if i < len(k) {
			x = k[i]
		}
		if i < len(o) {
			y = o[i]
		}
		if x == y {
			fmt.Fprintf(&out, "         %s\n", x)
		} else {
			fmt.Fprintf(&out, " kernel: %s\n   ours: %s\n", x, y)
		}
	}
	return out.String()
}
