package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// NC are the arguments of tapstack nc, which are those of nc(1).
type NC struct {
	UDP, Listen bool
	Scan        bool          // -z: connect and say so
	Wait        time.Duration // -w: to connect, and without any byte; 0 is for ever. Over UDP it is how a conversation ends
	Port        int           // -p: to listen on, or to connect from
	Source      string        // -s: an address of ours
	Verbose     bool
	Args        []string // host and port, or a range of ports with Scan
}

// Run connects stdin and stdout with a connection of the stack's. It returns
// when the other end has finished and, over TCP, stdin has.
func (o *NC) Run(ctx context.Context, c *client.Client, stdin io.Reader, stdout, stderr io.Writer) error {
	host, first, last, err := o.target()
	if err != nil {
		return err
	}
	if o.Scan {
		return o.scan(ctx, c, host, first, last, stderr)
	}
	conn, err := c.Connect(ctx, o.query(host, first), func(local string) {
		if o.Verbose {
			fmt.Fprintln(stderr, "listening on", local)
		}
	})
	if err != nil {
		return o.explain(host, first, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if o.Verbose {
		fmt.Fprintf(stderr, "connected: %s, we are %s\n", conn.Remote, conn.Local)
	}
	err = o.pipe(conn, stdin, stdout)
	if ctx.Err() != nil {
		return nil // by a signal
	}
	return err
}

// target reads host and ports.
func (o *NC) target() (host string, first, last int, err error) {
	args := o.Args
	if o.Listen && o.Port != 0 {
		args = append(append([]string(nil), args...), strconv.Itoa(o.Port))
	}
	switch {
	case len(args) == 2:
		host = args[0]
	case len(args) == 1 && o.Listen:
		args = []string{"", args[0]}
	default:
		return "", 0, 0, usagef("nc: want an address and a port")
	}
	if o.Listen && host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, 0, usagef("nc: %q is no address to listen at", host)
		}
	}
	low, high, isRange := strings.Cut(args[1], "-")
	if !isRange || !o.Scan {
		low, high = args[1], args[1]
	}
	first, err1 := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || first < 0 || last > 65535 || first > last || first == 0 && !o.Listen {
		return "", 0, 0, usagef("nc: %q is no port", args[1])
	}
	return host, first, last, nil
}

func (o *NC) query(host string, port int) *api.ConnectQuery {
	q := &api.ConnectQuery{Network: "tcp", Address: net.JoinHostPort(host, strconv.Itoa(port)), Listen: o.Listen, Timeout: o.Wait}
	if o.UDP {
		q.Network = "udp"
	}
	if !o.Listen && (o.Source != "" || o.Port != 0) {
		source := o.Source
		if source == "" {
			source = "0.0.0.0"
			if strings.Contains(host, ":") {
				source = "::"
			}
		}
		q.Source = net.JoinHostPort(source, strconv.Itoa(o.Port))
	}
	return q
}

// explain names the target in an error that does not.
func (o *NC) explain(host string, port int, err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return fmt.Errorf("nc: %s: %w", net.JoinHostPort(host, strconv.Itoa(port)), err)
	}
	return err
}

// scan connects to each port and says which ones take it.
func (o *NC) scan(ctx context.Context, c *client.Client, host string, first, last int, stderr io.Writer) error {
	if o.UDP {
		return usagef("nc: -z is for TCP: over UDP an open port and a lost datagram look the same")
	}
	open := 0
	for port := first; port <= last && ctx.Err() == nil; port++ {
		conn, err := c.Connect(ctx, o.query(host, port), nil)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) {
				return err
			}
			if o.Verbose {
				fmt.Fprintf(stderr, "%s %d: %s\n", host, port, e.Message)
			}
			continue
		}
		open++
		conn.Close()
		fmt.Fprintf(stderr, "%s %d open\n", host, port)
	}
	if open == 0 {
		return ErrNegative
	}
	return nil
}

// errIdle: Wait has passed without a byte.
var errIdle = errors.New("nc: no byte for as long as -w says")

// pipe moves bytes both ways.
func (o *NC) pipe(conn *client.Connection, stdin io.Reader, stdout io.Writer) error {
	var idle *time.Timer
	var late, heard atomic.Bool
	touch := func() {}
	if o.Wait > 0 {
		idle = time.AfterFunc(o.Wait, func() { late.Store(true); conn.Close() })
		defer idle.Stop()
		touch = func() { idle.Reset(o.Wait) }
	}
	sent := make(chan error, 1)
	go func() { sent <- o.send(conn, stdin, touch) }()
	err := receive(conn, stdout, func() { heard.Store(true); touch() })
	if late.Load() {
		if o.UDP && heard.Load() {
			return nil // nothing but silence says that they have finished
		}
		return errIdle
	}
	if err != nil {
		return err
	}
	// Their end has come, and ours is waited for: what a file or another
	// program says is still to be sent. Only a terminal that nobody types at
	// must not keep a connection that is over.
	if terminal(stdin) {
		select {
		case err = <-sent:
		default:
		}
		return err
	}
	err = <-sent
	if late.Load() {
		return errIdle
	}
	return err
}

// terminal reports whether somebody may be typing.
func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (o *NC) send(conn *client.Connection, stdin io.Reader, touch func()) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := stdin.Read(buf)
		if n > 0 {
			touch()
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return conn.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

func receive(conn *client.Connection, stdout io.Writer, touch func()) error {
	for {
		p, err := conn.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		touch()
		if _, err := stdout.Write(p); err != nil {
			return err
		}
	}
}
