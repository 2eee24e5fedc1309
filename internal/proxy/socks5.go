package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// SOCKS5Config is a SOCKS 5 proxy (RFC 1928): CONNECT and UDP ASSOCIATE to
// Options.Dial's network, by address or by name. There is no BIND, no GSSAPI and
// no fragmentation of datagrams.
type SOCKS5Config struct {
	Options

	// Auth asks clients for user and password (RFC 1929); nil lets everybody in
	// who asks for no authentication.
	Auth Auth

	// SendPROXY has every connection to a target begin with a PROXY header.
	SendPROXY Version
}

// SOCKS5 starts a SOCKS 5 proxy.
//
// Errors: those of Options.Listen, with the service's name.
func SOCKS5(cfg SOCKS5Config) (*Service, error) {
	s := newService("socks5", "", &cfg.Options)
	if cfg.SendPROXY > PROXYv2 {
		return nil, s.failure(fmt.Errorf("PROXY protocol version %d: there are 1 and 2", cfg.SendPROXY))
	}
	l, err := s.listen()
	if err != nil {
		return nil, err
	}
	p := &socks{Service: s, cfg: &cfg}
	s.handle = p.serve
	s.start(l)
	return s, nil
}

type socks struct {
	*Service
	cfg *SOCKS5Config
}

// serve is one connection:
//
//	methods -> password -> request -> connect   -> reply -> relay
//	                               -> associate -> reply -> association.run
func (p *socks) serve(c *session) error {
	var command byte
	var dst destination
	early, err := c.hello(func(r *bufio.Reader) (err error) {
		if err := p.greet(c, r); err != nil {
			return err
		}
		command, dst, err = readRequest(r)
		switch {
		case errors.Is(err, errAddressType):
			return p.deny(c, replyAddressType, refuse(CauseUnsupported, err))
		case err != nil:
			return refuse(readCause(err), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch command {
	case cmdConnect:
		return p.connect(c, dst, early)
	case cmdAssociate:
		return p.associate(c, dst)
	default:
		return p.deny(c, replyCommand, refuse(CauseUnsupported, fmt.Errorf("command %d", command)))
	}
}

// greet agrees on a method and carries it out.
func (p *socks) greet(c *session, r *bufio.Reader) error {
	methods, err := readMethods(r)
	if err != nil {
		return refuse(readCause(err), err)
	}
	want := byte(methodNone)
	if p.cfg.Auth != nil {
		want = methodPassword
	}
	found := false
	for _, m := range methods {
		found = found || m == want
	}
	if !found {
		return p.goodbye(c, []byte{socksVersion, methodNotThere},
			refuse(CauseAuth, fmt.Errorf("of methods %v none is %d", methods, want)))
	}
	if _, err := c.client.Write([]byte{socksVersion, want}); err != nil {
		return refuse(readCause(err), err)
	}
	if want == methodNone {
		return nil
	}
	user, password, err := readPassword(r)
	if err != nil {
		return refuse(readCause(err), err)
	}
	if !p.cfg.Auth(user, password) {
		return p.goodbye(c, []byte{authVersion, 1}, refuse(CauseAuth, fmt.Errorf("user %q", user)))
	}
	if _, err = c.client.Write([]byte{authVersion, 0}); err != nil {
		return refuse(readCause(err), err)
	}
	return nil
}

func (p *socks) connect(c *session, dst destination, early []byte) error {
	header, err := c.header(p.cfg.SendPROXY)
	if err != nil {
		return p.deny(c, replyFailure, refuse(CauseFailed, err))
	}
	target, err := p.dial(p.fresh, "tcp", dst.String())
	if err != nil {
		return p.deny(c, replyFor(err), err)
	}
	// A connection's first few bytes find room in its send buffer.
	if _, err := c.client.Write(appendReply(nil, replySucceeded, addrPort(target.LocalAddr()))); err != nil {
		reset(target)
		return refuse(CauseGone, err)
	}
	return c.relay(target, header, early)
}

// replyFor tells a client why there is no connection. A timeout is "TTL
// expired", for want of anything nearer: other servers do so too.
func replyFor(err error) reply {
	switch causeOf(err) {
	case CauseRefused:
		return replyRefused
	case CauseUnreachable:
		if errors.Is(err, syscall.ENETUNREACH) {
			return replyNetworkUnreachable
		}
		return replyHostUnreachable
	case CauseName:
		return replyHostUnreachable
	case CauseTimeout:
		return replyTTLExpired
	default:
		return replyFailure
	}
}

// deny answers a request with an error and returns why.
func (p *socks) deny(c *session, rep reply, why error) error {
	return p.goodbye(c, appendReply(nil, rep, netip.AddrPort{}), why)
}

// goodbye sends a last answer so that the client gets it, and returns why.
func (p *socks) goodbye(c *session, answer []byte, why error) error {
	if _, err := c.client.Write(answer); err == nil {
		farewell(c.client)
	}
	return why
}

// Implementation constants: how long, and how much, a client that was refused
// is listened to.
const (
	farewellTime  = 2 * time.Second
	farewellBytes = 64 << 10
)

// farewell closes a connection with a FIN. Unread bytes would make that a RST,
// which may overtake what was written last, so some are read.
func farewell(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(farewellTime))
	if closeWrite(conn) == nil {
		_, _ = io.CopyN(struct{ io.Writer }{io.Discard}, conn, farewellBytes)
	}
	_ = conn.Close()
}
