package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxUDP is the longest answer over UDP to a query without EDNS (RFC 1035,
// 4.2.1), with room for servers that do not keep to it.
const maxUDP = 4096

var (
	errNoName    = errors.New("no such host")
	errTruncated = errors.New("answer too long for UDP")
)

// exchange puts a question to a server. No addresses and no error is a name
// that has none of that type. Bytes that are no answer to it are passed over.
func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, q dnsmessage.Question) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	id := uint16(rand.Uint32()) // of a generator that nobody can guess
	query, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}).Pack()
	if err != nil {
		return nil, err
	}
	addrs, err := r.over(ctx, "udp", server, func(c net.Conn) ([]netip.Addr, error) { return overUDP(c, query, id, q) })
	if errors.Is(err, errTruncated) {
		addrs, err = r.over(ctx, "tcp", server, func(c net.Conn) ([]netip.Addr, error) { return overTCP(c, query, id, q) })
	}
	return addrs, err
}

// over lends do a connection to the server that ends with ctx.
func (r *Resolver) over(ctx context.Context, network string, server netip.AddrPort, do func(net.Conn) ([]netip.Addr, error)) ([]netip.Addr, error) {
	c, err := r.dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	return do(c)
}

func overUDP(c net.Conn, query []byte, id uint16, q dnsmessage.Question) ([]netip.Addr, error) {
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxUDP)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		// Another answer may still come: this one need not be the server's.
		if addrs, err := parse(buf[:n], id, q); !errors.Is(err, errOther) {
			return addrs, err
		}
	}
}

// overTCP: each message has its length in front (RFC 1035, 4.2.2).
func overTCP(c net.Conn, query []byte, id uint16, q dnsmessage.Question) ([]netip.Addr, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return nil, err
	}
	addrs, err := parse(buf, id, q)
	if errors.Is(err, errTruncated) {
		err = errOther // there is nothing longer than TCP's
	}
	return addrs, err
}

// errOther is what is no answer to the question.
var errOther = errors.New("the server's answer is not understood")

// parse takes the addresses out of an answer to q. They are all those of its
// type: between q's name and theirs stand aliases, which the server has
// followed.
func parse(msg []byte, id uint16, q dnsmessage.Question) ([]netip.Addr, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != id {
		return nil, errOther
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 || asked[0].Type != q.Type || asked[0].Class != q.Class ||
		!strings.EqualFold(asked[0].Name.String(), q.Name.String()) {
		return nil, errOther
	}
	switch h.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return nil, errNoName
	default:
		return nil, fmt.Errorf("the server says %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	if h.Truncated {
		return nil, errTruncated
	}
	return addresses(&p, q.Type)
}

// addresses reads the answers.
func addresses(p *dnsmessage.Parser, kind dnsmessage.Type) ([]netip.Addr, error) {
	var out []netip.Addr
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return out, nil
		}
		if err != nil {
			return nil, errOther
		}
		switch {
		case h.Class != dnsmessage.ClassINET || h.Type != kind:
			err = p.SkipAnswer()
		case kind == dnsmessage.TypeA:
			var a dnsmessage.AResource
			if a, err = p.AResource(); err == nil {
				out = append(out, netip.AddrFrom4(a.A))
			}
		default:
			var a dnsmessage.AAAAResource
			if a, err = p.AAAAResource(); err == nil {
				out = append(out, netip.AddrFrom16(a.AAAA).Unmap())
			}
		}
		if err != nil {
			return nil, errOther
		}
	}
}
