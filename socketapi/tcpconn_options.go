package socketapi

import (
	"net"
	"syscall"
	"time"
)

// errNil is what methods of a nil connection return, as in package net.
var errNil error = syscall.EINVAL

// set sets options one after the other until one fails.
func (w *waiting) set(settings ...setting) error {
	for _, s := range settings {
		if err := w.so.SetOption(s.option, s.value); err != nil {
			return inCall("setsockopt", err)
		}
	}
	return nil
}

func (c *TCPConn) set(settings ...setting) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.waiting.set(settings...))
}

// SetNoDelay switches Nagle's algorithm off (true, the default) or on. Errors:
// net.ErrClosed after Close.
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.set(setting{option: TCP_NODELAY, value: b2i(noDelay)})
}

// SetLinger decides what Close does with unsent data: 0 discards it and resets
// the connection, any other value sends it in the background. Errors:
// net.ErrClosed after Close.
func (c *TCPConn) SetLinger(sec int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", inCall("setsockopt", c.so.SetLinger(sec)))
}

// SetKeepAlive switches keepalive probes on or off (on by default, 15 s).
// Errors: net.ErrClosed after Close.
func (c *TCPConn) SetKeepAlive(on bool) error {
	return c.set(setting{option: SO_KEEPALIVE, value: b2i(on)})
}

// SetKeepAlivePeriod sets the idle time before keepalive probes, rounded up to
// seconds. As in package net, zero is the default (15 s) and a negative one
// changes nothing. Errors: EINVAL for more than 32,767 s or 127 probes;
// net.ErrClosed.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	if d < 0 {
		return c.set() // for its errors
	}
	return c.set(setting{option: TCP_KEEPIDLE, value: seconds(orDefault(d, defaultKeepAlive))})
}

// SetKeepAliveConfig sets all there is of keepalive. As in package net, a zero
// field is the default (15 s, 15 s, 9 probes), a negative one is left alone.
// Errors: EINVAL for more than 32,767 s or 127 probes; net.ErrClosed.
func (c *TCPConn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return c.set(keepAlive(cfg)...)
}

// Package net's defaults.
const (
	defaultKeepAlive      = 15 * time.Second
	defaultKeepAliveCount = 9
)

// keepAlive are the settings of a net.KeepAliveConfig.
func keepAlive(cfg net.KeepAliveConfig) []setting {
	out := make([]setting, 0, 4)
	if cfg.Idle >= 0 {
		out = append(out, setting{option: TCP_KEEPIDLE, value: seconds(orDefault(cfg.Idle, defaultKeepAlive))})
	}
	if cfg.Interval >= 0 {
		out = append(out, setting{option: TCP_KEEPINTVL, value: seconds(orDefault(cfg.Interval, defaultKeepAlive))})
	}
	if cfg.Count >= 0 {
		out = append(out, setting{option: TCP_KEEPCNT, value: orDefault(cfg.Count, defaultKeepAliveCount)})
	}
	// Last: it starts the timer.
	return append(out, setting{option: SO_KEEPALIVE, value: b2i(cfg.Enable)})
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// seconds rounds up, as package net does: 0 would switch off.
func seconds(d time.Duration) int { return int((d-1)/time.Second) + 1 }

// SetReadBuffer sets the receive buffer's size to n payload bytes, within what
// the stack allows (stack.TCPConfig.ReceiveBuffer), and turns autotuning off
// for this connection. The window scale was fixed by the SYN: beyond what it
// can express, more room does not mean a larger window. Set the size before the
// handshake, with Dialer.Control or ListenConfig.Control, to have all of it. A
// smaller size takes back no window that the peer was told of, and no memory
// from segments that wait for a lost one: the buffer stays large enough for
// these. Errors: net.ErrClosed after Close.
func (c *TCPConn) SetReadBuffer(n int) error { return c.set(setting{option: SO_RCVBUF, value: n}) }

// SetWriteBuffer sets the send buffer's size to n payload bytes, within what
// the stack allows (stack.TCPConfig.SendBuffer), and turns autotuning off for
// this connection. Errors: net.ErrClosed after Close.
func (c *TCPConn) SetWriteBuffer(n int) error { return c.set(setting{option: SO_SNDBUF, value: n}) }

// SetReadLowWater makes Read wait, and the socket be readable, only with n
// bytes in the receive buffer, or the end of the stream (SO_RCVLOWAT). It is
// clamped to what the buffer can hold; below 0 it is all of that, 0 is 1. Errors: net.ErrClosed after Close.
func (c *TCPConn) SetReadLowWater(n int) error { return c.set(setting{option: SO_RCVLOWAT, value: n}) }

// SetWriteLowWater makes Write take bytes, and the socket be writable, only
// while less than n bytes are unsent (TCP_NOTSENT_LOWAT); 0 lifts that. What
// waits in the send buffer then is what the network has not acknowledged, and
// next to nothing of the application's that could still be changed. Bytes are
// taken as whole segments, so that up to a segment more may be unsent. Errors:
// net.ErrClosed after Close.
func (c *TCPConn) SetWriteLowWater(n int) error {
	return c.set(setting{option: TCP_NOTSENT_LOWAT, value: n})
}

// SetUserTimeout ends the connection with ETIMEDOUT when sent data stays
// unacknowledged for d (RFC 5482), rounded up to milliseconds; 0 for the stack's
// own limit. Errors: EINVAL for a negative one and for one of more than 2^31-1
// milliseconds; net.ErrClosed.
func (c *TCPConn) SetUserTimeout(d time.Duration) error {
	ms := int(d / time.Millisecond)
	if d < 0 {
		ms = -1
	} else if d%time.Millisecond != 0 {
		ms++
	}
	return c.set(setting{option: TCP_USER_TIMEOUT, value: ms})
}

// SetTTL sets the hops of what is sent: IPv4's TTL, IPv6's hop limit; -1 is the
// default. Errors: EINVAL outside of 1 to 255 (IPv6 has 0 too); net.ErrClosed.
func (c *TCPConn) SetTTL(hops int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.waiting.set(c.so.perFamily(IP_TTL, IPV6_UNICAST_HOPS, hops)...))
}

// SetTOS sets IPv4's type of service, IPv6's traffic class. TCP keeps the two
// ECN bits 0. IPv4 takes the lower eight bits, IPv6 has -1 for 0. Errors:
// EINVAL for IPv6 outside of 0 to 255; net.ErrClosed.
func (c *TCPConn) SetTOS(tos int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", c.waiting.set(c.so.perFamily(IP_TOS, IPV6_TCLASS, tos)...))
}

// perFamily is a setting that has a name for each family, for those that the
// socket has.
func (so *Socket) perFamily(v4, v6 Option, v int) []setting {
	out := []setting{{option: v4, value: v}}
	if so.v6 {
		out = append(out, setting{option: v6, value: v})
	}
	return out
}

// SetCongestionControl chooses the algorithm by name, "reno" or "cubic". ENOENT
// for a name the stack has not.
func (c *TCPConn) SetCongestionControl(name string) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", inCall("setsockopt", c.so.SetCongestionControl(name)))
}

// MaxSegment is the largest segment that we send, in payload bytes, which the
// peer, the path and TCP_MAXSEG decide. That is set in Dialer.Control or
// ListenConfig.Control, to bound what the peer sends too, or by SetMaxSegment. Errors:
// net.ErrClosed.
func (c *TCPConn) MaxSegment() (int, error) {
	if !c.valid() {
		return 0, errNil
	}
	n, err := c.so.Option(TCP_MAXSEG)
	return n, c.opErr("get", inCall("getsockopt", err))
}

// SetMaxSegment bounds the segments that we send from now on, TCP's options
// counted in (TCP_MAXSEG): MaxSegment, which tells payload, is up to 40 bytes
// less. The handshake is over, so it only lowers, and the peer is not told.
// EINVAL for less than 88 or more than 32,767; 0 changes nothing.
func (c *TCPConn) SetMaxSegment(n int) error { return c.set(setting{option: TCP_MAXSEG, value: n}) }

// SetSendAutotune says how far the send buffer may grow by itself: see
// [Socket.SetSendAutotune]. SendBuffer.AutotuneMax reads it back. Errors: EINVAL
// after SetWriteBuffer; net.ErrClosed.
func (c *TCPConn) SetSendAutotune(limit int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", inCall("setsockopt", c.so.SetSendAutotune(limit)))
}

// SetReceiveAutotune says how far the receive buffer may grow by itself: see
// [Socket.SetReceiveAutotune]. ReceiveBuffer.AutotuneMax reads it back. Errors:
// EINVAL after SetReadBuffer; net.ErrClosed.
func (c *TCPConn) SetReceiveAutotune(limit int) error {
	if !c.valid() {
		return errNil
	}
	return c.opErr("set", inCall("setsockopt", c.so.SetReceiveAutotune(limit)))
}
