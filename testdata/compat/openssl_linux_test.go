package compat

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tapstack/testdata/compat/world"
)

// tlsVersions are those to be spoken with OpenSSL.
var tlsVersions = []struct {
	name, flag string
	version    uint16
}{
	{"TLS 1.2", "-tls1_2", tls.VersionTLS12},
	{"TLS 1.3", "-tls1_3", tls.VersionTLS13},
}

// TestOpenSSLClient has openssl s_client speak with crypto/tls on our sockets.
func TestOpenSSLClient(t *testing.T) {
	openssl := world.Tool(t, "openssl", "openssl")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		for _, v := range tlsVersions {
			t.Run(v.name, func(t *testing.T) {
				cert := world.NewCert(t)
				ln := tls.NewListener(l.Listen(t), cert.Server)
				// Its input stays open until the server has closed: at the end
				// of it s_client would close without waiting for the answer.
				in, question := io.Pipe()
				go func() { _, _ = io.WriteString(question, "hello\nand more\n") }()
				served := make(chan error, 1)
				go func() {
					err := upperOnce(ln, v.version)
					_ = question.Close()
					served <- err
				}()
				out, status := l.Run(t, in, openssl, "s_client", "-connect", ln.Addr().String(), v.flag,
					"-CAfile", cert.CertFile, "-verify_return_error", "-quiet")
				if !strings.Contains(out, "HELLO\nAND MORE\n") || status != 0 {
					t.Errorf("exit status %d, says %q", status, out)
				}
				_ = ln.Close() // in case that it never came
				if err := <-served; err != nil {
					t.Error("server:", err)
				}
			})
		}
	})
}

// upperOnce answers two lines of one connection in capitals.
func upperOnce(ln net.Listener, version uint16) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	lines := bufio.NewReader(c)
	for range 2 {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, strings.ToUpper(line)); err != nil {
			return err
		}
	}
	if got := c.(*tls.Conn).ConnectionState().Version; got != version {
		return fmt.Errorf("%s spoken", tls.VersionName(got))
	}
	return nil
}

// TestOpenSSLServer has crypto/tls on our sockets speak with openssl s_server,
// which sends back each line in reverse.
func TestOpenSSLServer(t *testing.T) {
	openssl := world.Tool(t, "openssl", "openssl")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		// The server is the kernel's here.
		addr := net.JoinHostPort(l.Client.Addr().String(), "4433")
		l.Server, l.Client = l.Client, l.Server
		cert := world.NewCert(t)
		l.Start(t, "ACCEPT", openssl, "s_server", "-accept", addr, "-cert", cert.CertFile, "-key", cert.KeyFile, "-rev")
		for _, v := range tlsVersions {
			t.Run(v.name, func(t *testing.T) {
				cfg := cert.Client.Clone()
				cfg.MinVersion, cfg.MaxVersion = v.version, v.version
				cfg.ServerName = l.Server.Addr().String()
				c := tls.Client(l.Dial(t, addr), cfg)
				lines := bufio.NewReader(c)
				for i := range 20 {
					line := strings.Repeat("ab", 1+i*100)
					want := strings.Repeat("ba", 1+i*100) + "\n"
					if _, err := io.WriteString(c, line+"\n"); err != nil {
						t.Fatal(err)
					}
					if got, err := lines.ReadString('\n'); got != want || err != nil {
						t.Fatalf("line %d: %q, %v", i, got, err)
					}
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}
