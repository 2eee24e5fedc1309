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
	Args        []string        // host and port, or a range of ports with Scan
	JSON        func(any) error // not nil: with Scan each port, otherwise what Verbose says, as JSON
}

// Scanned is a port that was looked at, for a program.
type Scanned struct {
	Host  string `json:"host"`
	Port  int    `json:"port"`
	Open  bool   `json:"open"`
	Error string `json:"error,omitempty"` // why it is not
}

// Connected is who talks to whom, for a program.
type Connected struct {
	Listening string `json:"listening,omitempty"` // where, while nobody has come
	Local     string `json:"local,omitempty"`
	Remote    string `json:"remote,omitempty"`
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
		o.say(stderr, Connected{Listening: local})
	})
	if err != nil {
		return o.explain(host, first, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	o.say(stderr, Connected{Local: conn.Local, Remote: conn.Remote})
	err = o.pipe(conn, stdin, stdout)
	if ctx.Err() != nil {
		return nil // by a signal
	}
	return err
}

// say tells how it goes, to whom wants to know. A terminal or a program that is
// gone is no reason to end.
func (o *NC) say(stderr io.Writer, at Connected) {
	switch {
	case o.JSON != nil:
		_ = o.JSON(at)
	case !o.Verbose:
	case at.Listening != "":
		fmt.Fprintln(stderr, "listening on", at.Listening)
	default:
		fmt.Fprintf(stderr, "connected: %s, we are %s\n", at.Remote, at.Local)
	}
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
		one := Scanned{Host: host, Port: port}
		conn, err := c.Connect(ctx, o.query(host, port), nil)
		var e *api.Error
		switch {
		case err == nil:
			open++
			one.Open = true
			conn.Close()
		case errors.As(err, &e) && e.Status == 0:
			one.Error = e.Message
		default: // the daemon did not try
			return err
		}
		if err := o.scanned(one, stderr); err != nil {
			return err
		}
	}
	if open == 0 {
		return ErrNegative
	}
	return nil
}

func (o *NC) scanned(p Scanned, stderr io.Writer) error {
	switch {
	case o.JSON != nil:
		return o.JSON(p)
	case p.Open:
		fmt.Fprintf(stderr, "%s %d open\n", p.Host, p.Port)
	case o.Verbose:
		fmt.Fprintf(stderr, "%s %d: %s\n", p.Host, p.Port, p.Error)
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
