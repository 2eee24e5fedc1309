//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
)

// reach connects the peer to a port of the system under test, or through it to
// the far host, as o says.
func reach(o order, port int) (net.Conn, error) {
	if o.Through == "" {
		return dial(port, o.V6)
	}
	c, err := dialAddr(o.Via)
	if err != nil {
		return nil, err
	}
	switch o.Through {
	case throughSOCKS5:
		err = askSOCKS5(c, o.To)
	case throughHTTP:
		err = askCONNECT(c, o.To)
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s to %s: %w", o.Through, o.To, err)
	}
	return c, nil
}

// askSOCKS5 has a proxy connect (RFC 1928), without authentication.
func askSOCKS5(c net.Conn, to string) error {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	ask := append([]byte{5, 1, 0, 5, 1, 0, 1}, at.Addr().AsSlice()...)
	if _, err := c.Write(append(ask, byte(at.Port()>>8), byte(at.Port()))); err != nil {
		return err
	}
	var answer [2 + 10]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 || answer[3] != 0 {
		return fmt.Errorf("answer %v", answer)
	}
	return nil
}

// askCONNECT has a proxy connect (RFC 9110, 9.3.6). What follows the answer at
// once may be lost, which where bytes are only counted does not matter.
func askCONNECT(c net.Conn, to string) error {
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", r.Status)
	}
	return nil
}
