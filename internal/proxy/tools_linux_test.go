package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// both runs a test with a forward each way: in, from the kernel's loopback to an
// address behind the TAP, and out, from the stack to the kernel's loopback.
// target is where the program that serves has to be.
func (p *private) both(t *testing.T, run func(t *testing.T, o Options, target string)) {
	t.Run("in", func(t *testing.T) { run(t, p.in(), "10.1.0.1") })
	t.Run("out", func(t *testing.T) { run(t, p.out(), "127.0.0.1") })
}

// TestWrk has wrk load a web server through forwards both ways: many
// connections at a time, each with many requests.
func TestWrk(t *testing.T) {
	p := newPrivate(t)
	p.both(t, func(t *testing.T, o Options, target string) {
		port := p.nginx(t, target, "")
		s, err := ForwardTCP(TCPForward{Options: o, Target: net.JoinHostPort(target, port)})
		ending(t, s, err)
		out := p.succeed(t, nil, "wrk", "--threads", "2", "--connections", "64", "--duration", "1s", "http://"+s.Addr().String()+"/")
		if !strings.Contains(out, "Requests/sec") || strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
			t.Error(out)
		}
		if got := s.Snapshot(); got.Opened < 64 {
			t.Errorf("%+v", got)
		}
	})
}

// nginx serves who it thinks asks, at an address of the kernel's, and returns
// its port. more is what listen has besides.
func (p *private) nginx(t *testing.T, addr, more string) (port string) {
	t.Helper()
	program(t, "nginx")
	dir, port := t.TempDir(), p.freePort(t)
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr notice;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen %[2]s:%[3]s %[4]s; location / { return 200 "$remote_addr for $proxy_protocol_addr"; } }
}`, dir, addr, port, more)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	p.daemon(t, "nginx/", "nginx", "-p", dir, "-e", "stderr", "-c", file)
	return port
}

// TestPROXYPrograms has nginx read the header that we send, of either version,
// and curl send the one that we read.
func TestPROXYPrograms(t *testing.T) {
	p := newPrivate(t)
	at := netip.MustParseAddrPort("10.1.0.1:" + p.nginx(t, "10.1.0.1", "proxy_protocol"))
	for _, version := range []Version{PROXYv1, PROXYv2} {
		s, err := ForwardTCP(TCPForward{Options: p.in(), Target: at.String(), SendPROXY: version})
		ending(t, s, err)
		if out := p.succeed(t, nil, "curl", "--silent", "--show-error", "http://"+s.Addr().String()); out != "10.1.0.2 for 127.0.0.1" {
			t.Errorf("version %d: nginx saw %q", version, out)
		}
		o := p.in()
		o.AcceptPROXY = true
		// nginx has it from us, who have it from curl.
		both, err := ForwardTCP(TCPForward{Options: o, Target: at.String(), SendPROXY: version})
		ending(t, both, err)
		if out := p.succeed(t, nil, "curl", "--silent", "--show-error", "--haproxy-protocol", "http://"+both.Addr().String()); out != "10.1.0.2 for 127.0.0.1" {
			t.Errorf("version %d: nginx saw %q", version, out)
		}
		wantCount(t, both, "no refusal", func(s Snapshot) bool { return s.Active == 0 && total(s.Refused) == 0 })
		if _, err := p.run(t, nil, "curl", "--silent", "--show-error", "http://"+both.Addr().String()); err == nil {
			t.Error("curl without a header was let in")
		}
	}
}

// TestIperf3UDP sends datagrams through forwards both ways; iperf3 has its
// control connection at the same port.
func TestIperf3UDP(t *testing.T) {
	p := newPrivate(t)
	p.both(t, func(t *testing.T, o Options, target string) {
		port := p.freePort(t)
		tcp, err := ForwardTCP(TCPForward{Options: o, Target: net.JoinHostPort(target, port)})
		ending(t, tcp, err)
		host, at, _ := net.SplitHostPort(tcp.Addr().String())
		o.Address = tcp.Addr().String()
		udp := forwardUDP(t, o, net.JoinHostPort(target, port))
		p.daemon(t, "Server listening", "iperf3", "-s", "-B", target, "-p", port, "--forceflush")
		for _, more := range [][]string{nil, {"-R"}} {
			// 200 datagrams of 1 kB, at a rate that a busy machine can keep up with.
			out := p.succeed(t, nil, "iperf3", append([]string{"-u", "-c", host, "-p", at, "-b", "8M", "-k", "200", "-l", "1000"}, more...)...)
			if !strings.Contains(out, "iperf Done") {
				t.Error(out)
			}
		}
		// What is on its way when iperf3 ends is lost: some arrive is all there is to say.
		if got := udp.Snapshot(); got.DatagramsIn < 150 || got.DatagramsOut < 150 {
			t.Errorf("%+v", got)
		}
	})
}

// sshd starts a server at an address of the kernel's, and returns its port and
// what ssh has to be told.
func (p *private) sshd(t *testing.T, addr string) (port string, flags []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("sshd wants to be root")
	}
	sshd := program(t, "sshd")
	dir := t.TempDir()
	for _, key := range []string{"host", "user"} {
		p.succeed(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	public, err := os.ReadFile(filepath.Join(dir, "user.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), public, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	port = p.freePort(t)
	p.daemon(t, "Server listening", sshd, "-D", "-e", "-f", "/dev/null", "-p", port, "-h", filepath.Join(dir, "host"),
		"-o", "ListenAddress="+addr, "-o", "PidFile=none", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes",
		"-o", "AuthorizedKeysFile="+filepath.Join(dir, "keys"))
	return port, []string{"-F", "/dev/null", "-i", filepath.Join(dir, "user"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}
}

// TestSSH is ssh with sshd in the stack's network: with a ProxyCommand, of two
// programs, and through forwards both ways. What goes through comes back.
func TestSSH(t *testing.T) {
	p := newPrivate(t)
	data := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	sum := func(t *testing.T, flags ...string) {
		if out := p.succeed(t, bytes.NewReader(data), "ssh", append(flags, "cat")...); out != string(data) {
			t.Errorf("%d of %d bytes, or others", len(out), len(data))
		}
	}
	port, flags := p.sshd(t, "10.1.0.1")
	socks, http := socks5(t, p.in(), nil).Addr().String(), httpProxy(t, p.in(), nil).Addr().String()
	_, httpPort, _ := net.SplitHostPort(http)
	for name, command := range map[string]string{
		"ncat, socks5": "ncat --proxy " + socks + " --proxy-type socks5 %h %p",
		"ncat, http":   "ncat --proxy " + http + " --proxy-type http %h %p",
		"socat, http":  "socat - PROXY:127.0.0.1:%h:%p,proxyport=" + httpPort,
	} {
		t.Run(name, func(t *testing.T) {
			program(t, strings.Fields(command)[0])
			through := append(flags[:len(flags):len(flags)], "-p", port, "-o", "ProxyCommand="+command, "root@10.1.0.1")
			out := p.succeed(t, nil, "ssh", append(through, "echo through $SSH_CONNECTION")...)
			if !strings.HasPrefix(out, "through 10.1.0.2 ") {
				t.Errorf("%q", out)
			}
			sum(t, through...)
		})
	}
	p.both(t, func(t *testing.T, o Options, target string) {
		port, flags := p.sshd(t, target)
		s, err := ForwardTCP(TCPForward{Options: o, Target: net.JoinHostPort(target, port)})
		ending(t, s, err)
		host, at, _ := net.SplitHostPort(s.Addr().String())
		sum(t, append(flags, "-p", at, "root@"+host)...)
		wantCount(t, s, "an end in peace", ended(CauseClosed))
	})
}
