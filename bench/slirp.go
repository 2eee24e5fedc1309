//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"tapstack/internal/netns"
)

// slirpMTU is the MTU that rootless Podman and Docker give it. It has no
// offloads: at 1500 every segment would be a frame.
const slirpMTU = 65520

// slirp is a running one.
type slirp struct {
	cmd   *exec.Cmd
	dir   string // of its API socket
	api   string
	about string
	said  head // on stdout and stderr
	done  chan struct{}
}

// slirpVersion is the first line that it says of itself. An error: there is none.
func slirpVersion() (string, error) {
	out, err := exec.Command(slirpName, "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line, err
}

// startSlirp starts it in ns, where it takes connections, with its TAP in the
// namespace of far.
func startSlirp(ctx context.Context, ns *netns.NS, far *process, cpu int) (_ *slirp, err error) {
	s := &slirp{done: make(chan struct{})}
	version, err := slirpVersion()
	if err != nil {
		return nil, err
	}
	s.about = fmt.Sprintf("%s, MTU %d", version, slirpMTU)
	if s.dir, err = os.MkdirTemp("", "bench-slirp"); err != nil {
		return nil, err
	}
	s.api = filepath.Join(s.dir, "api")
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	defer ready.Close()
	s.cmd = exec.Command(slirpName, "--configure", "--ready-fd=3", "--mtu="+strconv.Itoa(slirpMTU), "--cidr="+slirpNet.String(),
		"--disable-host-loopback", "--disable-dns", "--api-socket="+s.api, "--netns-type=path",
		fmt.Sprintf("/proc/%d/ns/net", far.cmd.Process.Pid), "tap0")
	s.cmd.ExtraFiles = []*os.File{readyW}
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	err = launch(ns, s.cmd, cpu, s.done, func() {})
	_ = readyW.Close() // so that ready ends with the program
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", slirpName, err), os.RemoveAll(s.dir))
	}
	defer context.AfterFunc(ctx, func() { _ = s.cmd.Process.Kill() })()
	if n, err := ready.Read(make([]byte, 1)); n != 1 {
		s.kill()
		return nil, fmt.Errorf("%s is not ready: %w%s", slirpName, errors.Join(err, ctx.Err()), s.said.indented())
	}
	return s, nil
}

// forward has it listen on the host's loopback, at the port plus 1024, for a
// port of the far host. It has an API socket with a request for each connection,
// in the words of QEMU's monitor.
func (s *slirp) forward(ctx context.Context, port int) (address string, err error) {
	at := port + 1024
	request, err := json.Marshal(map[string]any{"execute": "add_hostfwd", "arguments": map[string]any{
		"proto": "tcp", "host_addr": "127.0.0.1", "host_port": at, "guest_addr": slirpFar.String(), "guest_port": port,
	}})
	if err != nil {
		return "", err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.api)
	if err != nil {
		return "", err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	// Nothing ends the answer but the end.
	var said bytes.Buffer
	if _, err := said.ReadFrom(bufio.NewReader(c)); err != nil {
		return "", err
	}
	var answer struct{ Error *struct{ Desc string } }
	if err := json.Unmarshal(said.Bytes(), &answer); err != nil || answer.Error != nil {
		return "", fmt.Errorf("%s: add_hostfwd: %q", slirpName, said.String())
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at)), nil
}

// kill ends it and waits until it is gone.
func (s *slirp) kill() {
	_ = s.cmd.Process.Kill() // fails only if it is gone already
	<-s.done
	_ = os.RemoveAll(s.dir)
}
