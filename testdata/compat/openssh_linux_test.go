package compat

import (
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"tapstack/testdata/compat/world"
)

// TestOpenSSH has OpenSSH's client log in to the server of TestSSH.
func TestOpenSSH(t *testing.T) {
	client := world.Tool(t, "ssh", "openssh-client")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		s := serveSSH(t, l)
		dir := t.TempDir()
		key, err := ssh.MarshalPrivateKey(s.userKey, "")
		if err != nil {
			t.Fatal(err)
		}
		keyFile, hostsFile := filepath.Join(dir, "key"), filepath.Join(dir, "hosts")
		if err := os.WriteFile(keyFile, pem.EncodeToMemory(key), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts := knownhosts.Line([]string{s.Addr().String()}, s.hostKey) + "\n"
		if err := os.WriteFile(hostsFile, []byte(hosts), 0o600); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(s.Addr().String())
		// Nothing of the user's own: no configuration, keys, hosts or agent.
		args := []string{"-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
			"-o", "UserKnownHostsFile=" + hostsFile, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
			"-i", keyFile, "-l", "tester", "-p", port, host}
		out, status := l.Run(t, world.Noise(sshBytes), client, append(args, "digest")...)
		if status != 0 || out != world.NoiseDigest(sshBytes) {
			t.Errorf("exit status %d; the server has %s", status, out)
		}
		if out, status := l.Run(t, nil, client, append(args, "exit 7")...); status != 7 || out != "" {
			t.Errorf("exit status %d, says %q; want 7", status, out)
		}
	})
}
