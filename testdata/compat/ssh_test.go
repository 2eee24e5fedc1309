package compat

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"tapstack/testdata/compat/world"
)

// Lengths of a copy, to the server and from it.
const sshBytes, sshBack = 10_000_000, 3_000_000

// sshServer is a server on the link's server, for one user with one key.
type sshServer struct {
	net.Listener
	config  *ssh.ServerConfig
	hostKey ssh.PublicKey
	userKey ed25519.PrivateKey
}

func serveSSH(t *testing.T, l *world.Link) *sshServer {
	t.Helper()
	_, hostKey, err1 := ed25519.GenerateKey(rand.Reader)
	userPublic, userKey, err2 := ed25519.GenerateKey(rand.Reader)
	host, err3 := ssh.NewSignerFromKey(hostKey)
	user, err4 := ssh.NewPublicKey(userPublic)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	s := &sshServer{Listener: l.Listen(t), hostKey: host.PublicKey(), userKey: userKey}
	s.config = &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() != "tester" || !bytes.Equal(key.Marshal(), user.Marshal()) {
				return nil, errors.New("another key")
			}
			return nil, nil
		},
	}
	s.config.AddHostKey(host)
	done := make(chan bool)
	go func() { s.serve(t); close(done) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return s
}

// serve accepts until the listener is closed, and returns when every
// connection has ended.
func (s *sshServer) serve(t *testing.T) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := s.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			return
		}
		conns.Go(func() {
			if err := s.handle(c); err != nil {
				t.Error("server:", err)
			}
		})
	}
}

// handle serves one connection to its end.
func (s *sshServer) handle(c net.Conn) error {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for nc := range channels {
		ch, requests, err := nc.Accept()
		if err != nil {
			return err
		}
		sessions.Go(func() {
			for r := range requests {
				// Whatever a client asks for beside its command, such as
				// an environment variable, it does not get.
				ok := r.Type == "exec"
				if r.WantReply {
					_ = r.Reply(ok, nil)
				}
				if ok {
					sessions.Go(func() { sshCommand(ch, string(r.Payload[4:])) })
				}
			}
		})
	}
	return nil
}

// sshCommand runs a command of a session: cat, digest, noise N or exit N.
func sshCommand(ch ssh.Channel, command string) {
	defer ch.Close()
	var status uint32
	verb, arg, _ := strings.Cut(command, " ")
	var n int64
	_, _ = fmt.Sscan(arg, &n)
	switch verb {
	case "cat":
		_, _ = io.Copy(ch, ch)
	case "digest":
		d, err := world.Digest(ch)
		_, _ = fmt.Fprint(ch, d)
		if err != nil {
			status = 1
		}
	case "noise":
		_, _ = io.Copy(ch, world.Noise(n))
	case "exit":
		_, _ = io.WriteString(ch.Stderr(), "as you say\n")
		status = uint32(n)
	default:
		status = 127
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

func TestSSH(t *testing.T) {
	world.Each(t, func(t *testing.T, l *world.Link) {
		s := serveSSH(t, l)
		user, err := ssh.NewSignerFromKey(s.userKey)
		if err != nil {
			t.Fatal(err)
		}
		addr := s.Addr().String()
		conn, channels, requests, err := ssh.NewClientConn(l.Dial(t, addr), addr, &ssh.ClientConfig{
			User:            "tester",
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(user)},
			HostKeyCallback: ssh.FixedHostKey(s.hostKey),
		})
		if err != nil {
			t.Fatal(err)
		}
		client := ssh.NewClient(conn, channels, requests)
		t.Cleanup(func() { _ = client.Close() })
		t.Run("exec", func(t *testing.T) { sshExec(t, client) })
		t.Run("copy", func(t *testing.T) { sshCopy(t, client) })
	})
}

func newSession(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sshExec(t *testing.T, c *ssh.Client) {
	s := newSession(t, c)
	s.Stdin = strings.NewReader("hello")
	if out, err := s.Output("cat"); string(out) != "hello" || err != nil {
		t.Errorf("cat: %q, %v", out, err)
	}
	var exit *ssh.ExitError
	out, err := newSession(t, c).CombinedOutput("exit 7")
	if string(out) != "as you say\n" || !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("exit: %q, %v", out, err)
	}
}

// sshCopy copies there and back at the same time, in two sessions.
func sshCopy(t *testing.T, c *ssh.Client) {
	there, back := newSession(t, c), newSession(t, c)
	there.Stdin = world.Noise(sshBytes)
	out, err := back.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Start(fmt.Sprint("noise ", sshBack)); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		got, err := there.Output("digest")
		if string(got) != world.NoiseDigest(sshBytes) || err != nil {
			t.Errorf("the server has %s, %v", got, err)
		}
	}()
	world.WantNoise(t, out, sshBack)
	if err := back.Wait(); err != nil {
		t.Error(err)
	}
	<-done
}
