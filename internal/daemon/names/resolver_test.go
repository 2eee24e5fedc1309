package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server answers queries over UDP and TCP, at one address of loopback.
type server struct {
	at    netip.AddrPort
	asked atomic.Int64
}

// serve starts one. answer turns a query into answers, which may be several;
// over says over what it came.
func serve(t testing.TB, answer func(q *dnsmessage.Message, over string) [][]byte) *server {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{at: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	l, err := net.Listen("tcp", s.at.String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	t.Cleanup(func() { pc.Close(); l.Close(); <-done; <-done })
	read := func(b []byte, over string) [][]byte {
		s.asked.Add(1)
		var q dnsmessage.Message
		if err := q.Unpack(b); err != nil {
			t.Errorf("a query that is none: %v", err)
			return nil
		}
		return answer(&q, over)
	}
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1000)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, a := range read(buf[:n], "udp") {
				_, _ = pc.WriteTo(a, from)
			}
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var head [2]byte
			_, _ = io.ReadFull(c, head[:])
			buf := make([]byte, binary.BigEndian.Uint16(head[:]))
			_, _ = io.ReadFull(c, buf)
			for _, a := range read(buf, "tcp") {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
			c.Close()
		}
	}()
	return s
}

// reply is an answer to q.
func reply(q *dnsmessage.Message, change func(*dnsmessage.Message), answers ...dnsmessage.Resource) []byte {
	m := &dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions, Answers: answers}
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func record(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET}, Body: body}
}

// zone answers for a few names, as an ordinary server does.
func zone(q *dnsmessage.Message, over string) [][]byte {
	one := q.Questions[0]
	v4 := record("real.example.", &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
	v6 := record("real.example.", &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()})
	alias := record(one.Name.String(), &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("real.example.")})
	var addrs []dnsmessage.Resource
	switch one.Type {
	case dnsmessage.TypeA:
		addrs = []dnsmessage.Resource{alias, v4}
	case dnsmessage.TypeAAAA:
		addrs = []dnsmessage.Resource{alias, v6}
	default:
	}
	rcode := func(c dnsmessage.RCode) func(*dnsmessage.Message) {
		return func(m *dnsmessage.Message) { m.RCode = c }
	}
	switch strings.ToLower(one.Name.String()) {
	case "real.example.":
		return [][]byte{reply(q, nil, addrs[1:]...)}
	case "alias.example.":
		return [][]byte{reply(q, nil, addrs...)}
	case "four.example.":
		if one.Type == dnsmessage.TypeA {
			return [][]byte{reply(q, nil, addrs...)}
		}
		return [][]byte{reply(q, nil)}
	case "half.example.": // the other half fails
		if one.Type == dnsmessage.TypeA {
			return [][]byte{reply(q, nil, addrs...)}
		}
		return [][]byte{reply(q, rcode(dnsmessage.RCodeServerFailure))}
	case "long.example.":
		if over == "tcp" {
			return [][]byte{reply(q, nil, addrs...)}
		}
		return [][]byte{reply(q, func(m *dnsmessage.Message) { m.Truncated = true })}
	case "endless.example.": // too long for TCP as well
		return [][]byte{reply(q, func(m *dnsmessage.Message) { m.Truncated = true })}
	case "forged.example.": // before the answer: what is none
		other := *q
		other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.example."), Type: one.Type, Class: one.Class}}
		wrong := record("real.example.", &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}})
		return [][]byte{
			{}, []byte("garbage"),
			reply(q, func(m *dnsmessage.Message) { m.ID++ }, wrong),
			reply(q, func(m *dnsmessage.Message) { m.Response = false }, wrong),
			reply(&other, nil, wrong),
			reply(q, nil, wrong)[:40],
			reply(q, nil, addrs...),
		}
	case "refused.example.":
		return [][]byte{reply(q, rcode(dnsmessage.RCodeRefused))}
	case "silent.example.":
		return nil
	}
	return [][]byte{reply(q, rcode(dnsmessage.RCodeNameError))}
}

func newResolver(t testing.TB, cfg Config) *Resolver {
	t.Helper()
	r := New((&net.Dialer{}).DialContext, cfg)
	return r
}

func text(addrs []netip.Addr) string { return strings.Trim(fmt.Sprint(addrs), "[]") }

func TestLookup(t *testing.T) {
	s := serve(t, zone)
	r := newResolver(t, Config{
		Servers: []netip.AddrPort{s.at},
		Hosts: map[string][]netip.Addr{
			"db":           {netip.MustParseAddr("192.0.2.9")},
			"real.example": {netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("fd00::8")},
		},
	})
	for _, c := range []struct{ network, name, want string }{
		{"ip", "alias.example", "192.0.2.1 2001:db8::1"},
		{"ip4", "alias.example", "192.0.2.1"},
		{"ip6", "Alias.Example.", "2001:db8::1"},
		{"ip", "four.example", "192.0.2.1"},
		{"ip6", "four.example", "!no such host"},
		{"ip", "half.example", "192.0.2.1"},
		{"ip6", "half.example", "~ServerFailure"},
		{"ip", "long.example", "192.0.2.1 2001:db8::1"},
		{"ip", "endless.example", "~not understood"},
		{"ip", "forged.example", "192.0.2.1 2001:db8::1"},
		{"ip", "nobody.example", "!no such host"},
		{"ip", "refused.example", "~Refused"},
		// The table comes first.
		{"ip", "real.example", "192.0.2.8 fd00::8"},
		{"ip6", "REAL.example.", "fd00::8"},
		{"ip", "db", "192.0.2.9"},
		{"ip6", "db", "!no address of that family"},
		// Addresses are nobody's to ask.
		{"ip", "192.0.2.77", "192.0.2.77"},
		{"ip6", "192.0.2.77", "!no address of that family"},
		{"ip", "::ffff:192.0.2.77", "192.0.2.77"},
		// What cannot be one.
		{"ip", "", "!no host's name"},
		{"ip", "a..b", "!no host's name"},
		{"ip", "a b", "!no host's name"},
		{"ip", strings.Repeat("a", 64) + ".example", "!no host's name"},
		{"ip", strings.Repeat("a.", 200), "!no host's name"},
		{"ip", strings.Repeat("a.", 128) + "b", "!no host's name"},
	} {
		addrs, err := r.LookupNetIP(t.Context(), c.network, c.name)
		got := text(addrs)
		var e *net.DNSError
		if errors.As(err, &e) {
			mark := "~"
			if e.IsNotFound {
				mark = "!"
			}
			got = mark + e.Error()
		}
		if (err == nil) != (got == c.want) || !strings.HasPrefix(got, c.want[:1]) || !strings.Contains(got, strings.TrimLeft(c.want, "!~")) {
			t.Errorf("%s %.20q: %s, %v; want %s", c.network, c.name, got, err, c.want)
		}
	}
	var unknown net.UnknownNetworkError
	if _, err := r.LookupNetIP(t.Context(), "tcp", "db"); !errors.As(err, &unknown) {
		t.Errorf("network tcp: %v", err)
	}
}

// TestServers: one that says nothing, and one that is not there, are passed
// over; a bad one is not asked for ever.
func TestServers(t *testing.T) {
	good := serve(t, zone)
	silent := serve(t, func(*dnsmessage.Message, string) [][]byte { return nil })
	gone := serve(t, zone)
	gone.at = netip.AddrPortFrom(gone.at.Addr(), 1) // nobody is there
	r := newResolver(t, Config{Servers: []netip.AddrPort{silent.at, gone.at, good.at}})
	r.wait = 50 * time.Millisecond
	if addrs, err := r.LookupNetIP(t.Context(), "ip", "real.example"); err != nil || text(addrs) != "192.0.2.1 2001:db8::1" {
		t.Errorf("%v, %v", addrs, err)
	}
	r.Set(Config{Servers: []netip.AddrPort{silent.at}})
	before := silent.asked.Load()
	_, err := r.LookupNetIP(t.Context(), "ip4", "real.example")
	var e *net.DNSError
	if !errors.As(err, &e) || !e.IsTimeout || e.IsNotFound || silent.asked.Load() != before+rounds {
		t.Errorf("%v after %d queries", err, silent.asked.Load()-before)
	}
	r.Set(Config{})
	if _, err := r.LookupNetIP(t.Context(), "ip", "real.example"); !notFound(err) || !strings.Contains(err.Error(), "no servers") {
		t.Errorf("without servers: %v", err)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 10)
	s := serve(t, func(*dnsmessage.Message, string) [][]byte { asked <- struct{}{}; return nil })
	r := newResolver(t, Config{Servers: []netip.AddrPort{s.at}})
	r.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := r.LookupNetIP(ctx, "ip", "real.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.LookupNetIP(ctx, "ip", "real.example"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want a deadline", err)
	}
}

func TestKnows(t *testing.T) {
	c := Config{Hosts: map[string][]netip.Addr{"db": nil}}
	for name, want := range map[string]bool{"db": true, "DB.": true, "192.0.2.1": true, "web": false} {
		if c.Knows(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	c.Servers = make([]netip.AddrPort, 1)
	if !c.Knows("web") {
		t.Error("there is a server to ask")
	}
}

// FuzzParse: whatever a server says, it is understood or refused, and what it
// says are addresses of the kind that was asked for.
func FuzzParse(f *testing.F) {
	q := &dnsmessage.Message{Header: dnsmessage.Header{ID: 7}}
	for _, name := range []string{"real.example.", "alias.example.", "forged.example.", "nobody.example.", "long.example."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
			q.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}
			for _, b := range zone(q, "udp") {
				f.Add(b, name, kind == dnsmessage.TypeA)
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, name string, four bool) {
		n, err := dnsmessage.NewName(name)
		if err != nil {
			return
		}
		kind := dnsmessage.TypeAAAA
		if four {
			kind = dnsmessage.TypeA
		}
		addrs, err := parse(msg, 7, dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET})
		if err != nil && addrs != nil {
			t.Errorf("%v and %v", addrs, err)
		}
		for _, a := range addrs {
			if four && !a.Is4() || !a.IsValid() {
				t.Errorf("%v", a)
			}
		}
	})
}
