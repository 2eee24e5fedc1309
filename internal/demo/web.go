package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"tapstack/socketapi"
)

// webBytes is the size of the page that is fetched.
const webBytes = 10_000_000

// noise is n bytes that look random and are the same for the same seed.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

func digest(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// web is the second chapter: package net/http on both ends, each way, over
// both families.
func (st *story) web(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, c := range []struct {
		name   string
		listen func(network, address string) (net.Listener, error)
		dial   func(ctx context.Context, network, address string) (net.Conn, error)
		at     netip.Addr
	}{
		{"GET by the " + st.far.name() + " from tapstack, IPv4", st.listen, st.far.DialContext, ours4.Addr()},
		{"GET by the " + st.far.name() + " from tapstack, IPv6", st.listen, st.far.DialContext, ours6.Addr()},
		{"GET by tapstack from the " + st.far.name() + ", IPv4", st.far.listen, st.dialer().DialContext, theirs4.Addr()},
		{"GET by tapstack from the " + st.far.name() + ", IPv6", st.far.listen, st.dialer().DialContext, theirs6.Addr()},
	} {
		l, err := c.listen("tcp", netip.AddrPortFrom(c.at, 8080).String())
		if err != nil {
			return err
		}
		detail, err := st.fetch(ctx, l, c.dial)
		if err != nil {
			st.check(c.name, false, "%v", err)
			continue
		}
		st.check(c.name, true, "%s", detail)
	}
	return nil
}

func (st *story) dialer() *socketapi.Dialer { return &socketapi.Dialer{Stack: st.s} }

func (st *story) listen(network, address string) (net.Listener, error) {
	return socketapi.Listen(st.s, network, address)
}

// fetch serves noise on l and gets it through dial with an ordinary
// http.Client.
func (st *story) fetch(ctx context.Context, l net.Listener, dial func(context.Context, string, string) (net.Conn, error)) (string, error) {
	const seed = 2
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(webBytes))
			_, _ = io.Copy(w, noise(seed, webBytes))
		}),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	defer func() { _ = srv.Close(); <-served }()

	tr := &http.Transport{DialContext: dial}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+"/", nil)
	if err != nil {
		return "", err
	}
	start := time.Now()
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, n, err := digest(resp.Body)
	if err != nil {
		return "", fmt.Errorf("after %d bytes: %w", n, err)
	}
	took := time.Since(start)
	want, _, _ := digest(noise(seed, webBytes))
	if got != want || n != webBytes {
		return "", fmt.Errorf("%d bytes with SHA-256 %s, want %d with %s", n, got, webBytes, want)
	}
	return fmt.Sprintf("%s from %s in %v, SHA-256 %s...", size(n), l.Addr(), took.Round(time.Millisecond), got[:16]), nil
}

// services is the third chapter: each service of the daemon does its one
// thing, seen from the far end.
func (st *story) services(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, c := range []struct {
		name string
		port uint16
		talk func(net.Conn) (string, error)
	}{
		{"echo", 7, talkEcho},
		{"discard", 9, talkDiscard},
		{"chargen", 19, talkChargen},
		{"http", 80, talkHTTP},
	} {
		conn, err := st.far.DialContext(ctx, "tcp", netip.AddrPortFrom(ours4.Addr(), c.port).String())
		if err != nil {
			st.check(c.name, false, "%v", err)
			continue
		}
		at, _ := ctx.Deadline()
		_ = conn.SetDeadline(at)
		detail, err := c.talk(conn)
		_ = conn.Close()
		if err != nil {
			detail = err.Error()
		}
		st.check(c.name, err == nil, "%s", detail)
	}
	return nil
}

// closeWriter is what both a kernel and a tapstack connection have.
type closeWriter interface{ CloseWrite() error }

func talkEcho(c net.Conn) (string, error) {
	const said = "is there anybody out there?\n"
	if _, err := io.WriteString(c, said); err != nil {
		return "", err
	}
	if err := c.(closeWriter).CloseWrite(); err != nil {
		return "", err
	}
	heard, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	if string(heard) != said {
		return "", fmt.Errorf("said %q, heard %q", said, heard)
	}
	return "what was sent came back, and then the FIN", nil
}

func talkDiscard(c net.Conn) (string, error) {
	n, err := io.Copy(c, noise(3, 1<<20))
	if err != nil {
		return "", err
	}
	if err := c.(closeWriter).CloseWrite(); err != nil {
		return "", err
	}
	back, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	if len(back) != 0 {
		return "", fmt.Errorf("%d bytes came back", len(back))
	}
	return fmt.Sprintf("took %d bytes and closed when we had", n), nil
}

func talkChargen(c net.Conn) (string, error) {
	r := bufio.NewReader(c)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return "", err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) != 72 {
		return "", fmt.Errorf("a line of %d characters: %q", len(line), line)
	}
	return fmt.Sprintf("lines of 72 characters, %q...", line[:12]), nil
}

func talkHTTP(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || len(page) == 0 {
		return "", fmt.Errorf("%s, a page of %d bytes", resp.Status, len(page))
	}
	return fmt.Sprintf("%s, a page of %d bytes", resp.Status, len(page)), nil
}
