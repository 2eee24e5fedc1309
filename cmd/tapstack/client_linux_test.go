package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
)

const controlledConfig = `
[nic.tap0]
address = ["192.168.77.2/24", "fd00:77::2/64"]
host    = ["192.168.77.1/24", "fd00:77::1/64"]
[services]
echo = ":7"
discard = ":9"
chargen = ":19"
accounting = true
`

// ask runs a client command against the daemon. stdin may be nil.
func (p *process) ask(t *testing.T, stdin io.Reader, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(within(t), program, args...)
	cmd.Env = append(os.Environ(), "TAPSTACK_SOCKET="+p.socket)
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// wants demands a status and texts on stdout.
func (p *process) wants(t *testing.T, status int, args string, texts ...string) string {
	t.Helper()
	got, stdout, stderr := p.ask(t, nil, strings.Fields(args)...)
	if got != status {
		t.Errorf("%s: status %d, want %d\n%s%s", args, got, status, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("%s: no %q in\n%s%s", args, text, stdout, stderr)
		}
	}
	return stdout
}

// TestCommands runs every client command against a daemon, which has given up
// its privileges.
func TestCommands(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	p.isDropped(t)
	c := p.dial(t, "192.168.77.2:7")
	ping(t, c)

	p.wants(t, 0, "ss", "ESTAB", "192.168.77.2:7", c.LocalAddr().String())
	p.wants(t, 0, "ss -tmi state established", "send:(0 of ", "rto:", "held up by ")
	p.wants(t, 0, "ss -lun", "*:7", "UNCONN")
	if out := p.wants(t, 0, "ss -ta sport = :9"); strings.Count(out, "\n") != 2 {
		t.Errorf("ss with a filter:\n%s", out)
	}
	p.wants(t, 0, "ip addr", "inet 192.168.77.2/24", "inet6 fd00:77::2/64", "tap0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500")
	p.wants(t, 0, "ip addr add 192.168.77.66/24 dev tap0")
	ping(t, p.dial(t, "192.168.77.66:7"))
	p.wants(t, 1, "ip addr add 192.168.77.66/24 dev tap0", "file exists")
	p.wants(t, 0, "ip addr del 192.168.77.66/24")
	p.wants(t, 0, "ip route add default via 192.168.77.1")
	p.wants(t, 0, "ip -4 route", "default via 192.168.77.1 dev tap0", "192.168.77.0/24 dev tap0")
	p.wants(t, 0, "ip route del default via 192.168.77.1")
	p.wants(t, 0, "ip neigh add 192.168.77.5 lladdr 02:00:00:00:00:05 dev tap0")
	p.wants(t, 0, "ip neigh", "192.168.77.5 dev tap0 lladdr 02:00:00:00:00:05 STATIC")
	p.wants(t, 0, "ip link set tap0 mtu 1400")
	p.wants(t, 0, "ip link", "mtu 1400", "RX: ")
	p.wants(t, 1, "ip link set tap0 mtu 9000", "MTU 9000")
	p.wants(t, 2, "ip foo", `no object "foo"`)

	p.wants(t, 0, "ping -c 2 -i 0.05 192.168.77.1", "2 packets transmitted, 2 received, 0% packet loss", "rtt min/avg/max/mdev = ", "icmp_seq=2")
	p.wants(t, 0, "ping -c 1 -6 fd00:77::1", "1 received")
	p.wants(t, 1, "ping -c 1 -W 0.1 192.168.77.99", "100% packet loss")
	p.wants(t, 2, "ping -4 fd00:77::1", "family")
	p.wants(t, 1, "ping example.org", "[dns] has no servers to ask")
	p.wants(t, 2, "ping -c -1 192.168.77.1", "-c -1")
	p.wants(t, 2, "ping -s 65508 192.168.77.1", "0 to 65507 bytes")
	p.wants(t, 1, "nc -l -w 0.05 8001", ":8001: nobody has connected within 50ms")
	p.wants(t, 1, "nc -w 5 192.168.77.1 1", "nc: 192.168.77.1:1: connect: connection refused\n")

	p.wants(t, 0, "nstat", "TcpPassiveOpens", "NicRxFrames.tap0")
	if out := p.wants(t, 0, "nstat TcpRetransSegs"); out != "" {
		t.Errorf("a counter that is 0: %s", out)
	}
	p.wants(t, 0, "nstat -z TcpRetransSegs", "TcpRetransSegs")
	p.wants(t, 0, "nstat -d 0.05 -c 2 -z Tcp*", "TcpInSegs")

	p.wants(t, 0, "set", "log-level=info", "accounting=on", "net.ipv4.tcp_sack=1")
	p.wants(t, 0, "set log-level=debug net.ipv4.tcp_sack=0")
	p.wants(t, 0, "set", "log-level=debug", "net.ipv4.tcp_sack=0")
	p.wants(t, 1, "set net.ipv4.tcp_sack=5", "want 0 or 1")
	p.wants(t, 2, "set foo=5", `no setting "foo"`)
	p.wants(t, 0, "reload", "changed  tcp")
	ping(t, c)
	for _, args := range []string{"ss --json", "ip addr --json", "ip route --json", "ip neigh --json", "ip link --json", "nstat --json", "set --json", "reload --json", "check --json -c " + config(t, good)} {
		var v any
		if out := p.wants(t, 0, args); json.Unmarshal([]byte(out), &v) != nil {
			t.Errorf("%s: no JSON:\n%s", args, out)
		}
	}
	for line := range strings.Lines(p.wants(t, 0, "ping -c 1 --json 192.168.77.1")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("ping --json: %s", line)
		}
	}
	p.wants(t, 0, "stop")
	if err := p.Wait(); err != nil {
		t.Errorf("%v, want status 0; stderr:\n%s", err, &p.stderr)
	}
	p.wants(t, 2, "ss", "no daemon answers at "+p.socket)
}

// TestNC speaks to the kernel's own sockets, both ways round.
func TestNC(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", "192.168.77.1:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c) // until the end of stdin has come across
		_, _ = c.Write(all)
	}()
	status, stdout, stderr := p.ask(t, bytes.NewReader(want), "nc", "192.168.77.1", port)
	if status != 0 || stdout != string(want) {
		t.Errorf("status %d, %d bytes, %s", status, len(stdout), stderr)
	}
	p.wants(t, 0, "nc -z 192.168.77.1 "+port, port+" open")
	p.wants(t, 0, "nc -z --json 192.168.77.1 "+port, `{"host":"192.168.77.1","port":`+port+`,"open":true}`)
	p.wants(t, 0, "nc --json 192.168.77.2 7", `,"remote":"192.168.77.2:7"}`) // stdin has ended already
	l.Close()
	p.wants(t, 1, "nc 192.168.77.1 "+port, "connection refused")
	p.wants(t, 1, "nc -z 192.168.77.1 "+port)
	p.wants(t, 1, "nc -z --json 192.168.77.1 "+port, `"open":false,"error":"connect: connection refused"}`)
	p.wants(t, 1, "nc -z -w 0.1 192.168.77.99 80") // no answer is about the port, not the daemon
	p.wants(t, 2, "nc 192.168.77.1", "want an address and a port")
	p.wants(t, 1, "nc host 80", "[dns] has no servers to ask")
	if status, _, stderr := p.ask(t, strings.NewReader("x"), "nc", "-w", "0.2", "192.168.77.2", "9"); status != 0 {
		t.Errorf("discard: %d %s", status, stderr) // it closes when we have
	}
	if status, stdout, stderr := p.ask(t, strings.NewReader("x"), "nc", "-u", "-w", "0.5", "192.168.77.2", "7"); status != 0 || stdout != "x" || stderr != "" {
		t.Errorf("UDP echo, and silence: %d %q %s", status, stdout, stderr)
	}
	silent, err := ns.ListenPacket("udp", "192.168.77.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, silentPort, _ := net.SplitHostPort(silent.LocalAddr().String())
	if status, _, stderr := p.ask(t, strings.NewReader("x"), "nc", "-u", "-w", "0.1", "192.168.77.1", silentPort); status != 1 || !strings.Contains(stderr, "no byte") {
		t.Errorf("UDP to who says nothing: %d %s", status, stderr)
	}

	cmd := exec.CommandContext(within(t), program, "nc", "-lv", "--socket", p.socket, "6000")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = strings.NewReader("from the stack"), &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(errs).ReadString('\n')
	if err != nil || !strings.Contains(line, "listening on") {
		t.Errorf("%q, %v", line, err)
	}
	c := p.dial(t, "192.168.77.2:6000")
	if _, err := c.Write([]byte("from the kernel")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "from the stack" {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = io.Copy(io.Discard, errs)
	if err := cmd.Wait(); err != nil || out.String() != "from the kernel" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestCaptureCommand has tcpdump and tshark read what it writes.
func TestCaptureCommand(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	p.isDropped(t)
	file := filepath.Join(t.TempDir(), "f.pcapng")
	for _, args := range [][]string{{"-w", file}, {}, {"--json"}} {
		cmd := exec.CommandContext(within(t), program, append([]string{"capture", "--socket", p.socket, "-c", "4"}, append(args, "icmp", "and", "host", "192.168.77.1")...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		// Until it has seen enough: it may begin later than the first of them.
		for running := true; running; {
			select {
			case err := <-done:
				if err != nil {
					t.Fatalf("%v: %s", err, &out)
				}
				running = false
			default:
				p.wants(t, 0, "ping -c 1 192.168.77.1")
			}
		}
		if !strings.HasSuffix(out.String(), "4 frames, 0 dropped\n") {
			t.Errorf("%v: no sum at the end of\n%s", args, &out)
		}
		if len(args) == 0 && strings.Count(out.String(), " > IP 192.168.77.2 > 192.168.77.1: ICMP EchoRequest") == 0 {
			t.Errorf("text:\n%s", &out)
		}
	}
	for _, tool := range [][]string{{"tcpdump", "-nr", file}, {"tshark", "-nr", file}} {
		path, err := exec.LookPath(tool[0])
		if err != nil {
			if os.Getenv("TAPSTACK_REQUIRE_TOOLS") == "1" {
				t.Error(err)
			}
			continue
		}
		out, err := exec.CommandContext(within(t), path, tool[1:]...).Output()
		if err != nil || strings.Count(string(out), "192.168.77.1") != 4 {
			t.Errorf("%v: %v\n%s", tool, err, out)
		}
	}
	p.wants(t, 1, "capture foo bar", "neither a word of the filter language")
	// A disk that is full ends the capture, not the daemon.
	if _, err := os.Stat("/dev/full"); err == nil {
		cmd := exec.CommandContext(within(t), program, "capture", "--socket", p.socket, "-w", "/dev/full")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no space left") || !strings.Contains(string(out), " frames, ") {
			t.Errorf("%v: %s", err, out)
		}
		p.wants(t, 0, "ping -c 1 192.168.77.1", "1 received")
	}
}

// TestHangup: SIGHUP reads the file again, a bad one changes nothing.
func TestHangup(t *testing.T) {
	ns := needTAP(t)
	file := config(t, controlledConfig)
	p := start(t, ns, "-c", file)
	c := p.dial(t, "192.168.77.2:7")
	ping(t, c)
	hup := func(text, want string) {
		t.Helper()
		cmd := exec.CommandContext(within(t), program, "events", "--json", "--socket", p.socket)
		events, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines := make(chan string)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(events); s.Scan(); {
				lines <- s.Text()
			}
		}()
		// Again until it is heard: the listener may be later than the signal.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			select {
			case line, ok := <-lines:
				if !ok || !strings.Contains(line, want) {
					t.Errorf("%q, want %s", line, want)
				}
				go func() {
					for line := range lines {
						_ = line
					}
				}()
				return
			case <-tick.C:
			}
		}
	}
	hup(strings.Replace(controlledConfig, `":9"`, `":10"`, 1), "reloaded")
	p.dial(t, "192.168.77.2:10")
	hup("nonsense", "not reloaded")
	p.dial(t, "192.168.77.2:10")
	ping(t, c)
}

// TestKilled: what kill -9 leaves is taken over, what runs is not.
func TestKilled(t *testing.T) {
	ns := needTAP(t)
	file := config(t, controlledConfig)
	first := start(t, ns, "-c", file)
	other := config(t, strings.ReplaceAll(strings.ReplaceAll(controlledConfig, "tap0", "tap1"), "77", "78"))
	second := exec.CommandContext(within(t), program, "run", "-c", other, "--socket", first.socket)
	var out []byte
	err := ns.Do(func() (err error) { out, err = second.CombinedOutput(); return err })
	if err == nil || second.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "another one is running, process ") {
		t.Errorf("beside a daemon that runs: %v\n%s", err, out)
	}
	if got := interfaces(t, ns); got != "lo tap0" {
		t.Errorf("interfaces: %s", got)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if _, err := os.Lstat(first.socket); err != nil {
		t.Fatalf("kill -9 leaves the socket: %v", err)
	}
	third := start(t, ns, "-c", file, "--socket", first.socket)
	third.socket = first.socket
	third.wants(t, 0, "ss -ta", "LISTEN")
	if err := third.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = third.Wait()
	if want := fmt.Sprintf("taking over from a daemon that was killed\" pid=%d", first.Process.Pid); !strings.Contains(third.stderr.String(), want) {
		t.Errorf("no %s in\n%s", want, &third.stderr)
	}
}

// TestWrongUser: others look if they may, and change nothing.
func TestWrongUser(t *testing.T) {
	ns := needTAP(t)
	if os.Getuid() != 0 {
		netnstest.Skip(t, errors.New("to be somebody else takes root"))
	}
	if m, err := os.ReadFile("/proc/self/uid_map"); err != nil || !strings.HasSuffix(string(m), "4294967295\n") {
		netnstest.Skip(t, errors.New("in a user namespace there is nobody else"))
	}
	if err := os.Chmod(filepath.Dir(program), 0o711); err != nil {
		t.Fatal(err)
	}
	for _, others := range []bool{false, true} {
		text := controlledConfig + "[control]\nmode = '0666'\n"
		if others {
			text += "readonly-for-others = true\n"
		}
		p := start(t, ns, "-c", config(t, text))
		if err := os.Chmod(filepath.Dir(p.socket), 0o755); err != nil {
			t.Fatal(err)
		}
		for args, open := range map[string]bool{"ss -ta": others, "ip addr": others, "ip addr del 192.168.77.2/24": false, "stop": false, "capture": false, "ping -c 1 192.168.77.1": false} {
			cmd := exec.CommandContext(within(t), program, append(strings.Fields(args), "--socket", p.socket)...)
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if (err == nil) != open || !open && !strings.Contains(string(out), "may") {
				t.Errorf("others %v, %s: %v\n%s", others, args, err, out)
			}
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait()
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, out, _ := call("completion", shell); status != 0 || !strings.Contains(out, "tapstack") {
			t.Errorf("%s: %d", shell, status)
		}
	}
	status, out, _ := call("__complete", "")
	for _, name := range []string{"ss", "ip", "ping", "nc", "nstat", "capture", "set", "reload", "stop", "check", "doctor", "version"} {
		if status != 0 || !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.HasPrefix(l, name+"\t") }) {
			t.Errorf("no %s among\n%s", name, out)
		}
	}
}

// TestCompleteValues: what follows is completed too, from a daemon if there is
// one to ask.
func TestCompleteValues(t *testing.T) {
	p := start(t, needTAP(t), "-c", config(t, controlledConfig))
	for _, c := range []struct {
		args []string
		want string // a line
	}{
		{[]string{"ss", "state", "est"}, "established"},
		{[]string{"top", "--sort", ""}, "sendq"},
		{[]string{"capture", "-Q", "i"}, "inout"},
		{[]string{"capture", "-i", ""}, "tap0"},
		{[]string{"set", "log"}, "log-level="},
		{[]string{"set", "log-level=d"}, "log-level=debug"},
		{[]string{"set", "accounting="}, "accounting=off"},
		{[]string{"set", "net.ipv4.tcp_rm"}, "net.ipv4.tcp_rmem="},
	} {
		status, out, _ := p.ask(t, nil, append([]string{"__complete"}, c.args...)...)
		if status != 0 || !slices.Contains(strings.Split(out, "\n"), c.want) {
			t.Errorf("%q: no %q among\n%s", c.args, c.want, out)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	status, stdout, stderr := call("check", "-c", config(t, good))
	if status != 0 || !strings.Contains(stdout, "good") || stderr != "" {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	file := config(t, good+"mtuu = 5\n")
	status, stdout, stderr = call("check", "-c", file)
	checkRefusal(t, status, stdout, stderr, file+`:3: unknown key "mtuu" in [nic.tap0]: did you mean "mtu"?`)
	status, stdout, stderr = call("check")
	checkRefusal(t, status, stdout, stderr, "which file?")
}
