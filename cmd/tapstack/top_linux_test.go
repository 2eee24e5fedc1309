package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
)

// A terminal is a tmux of its own, with a program in it.
type terminal struct {
	t      testing.TB
	tmux   string
	socket string
}

// newTerminal runs a shell command on a screen of that size.
func newTerminal(t testing.TB, width, height, command string) *terminal {
	t.Helper()
	path := needTool(t, "tmux", "tmux")
	dir, err := os.MkdirTemp("", "tapstack") // not t.TempDir: its name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{t, path, filepath.Join(dir, "tmux")}
	t.Cleanup(func() {
		s.run("kill-server")
		os.RemoveAll(dir)
	})
	if out, err := s.run("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, command); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	return s
}

func (s *terminal) run(args ...string) (string, error) {
	cmd := exec.Command(s.tmux, append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "TMUX=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// press presses keys, by tmux's names.
func (s *terminal) press(keys ...string) {
	s.t.Helper()
	if out, err := s.run(append([]string{"send-keys"}, keys...)...); err != nil {
		s.t.Fatalf("%v: %v\n%s", keys, err, out)
	}
}

// shows waits until the screen matches want, with its colours if told so, and
// returns it.
func (s *terminal) shows(want string, flags ...string) string {
	s.t.Helper()
	pattern := regexp.MustCompile(`(?m)` + want)
	ctx := within(s.t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		screen, err := s.run(append([]string{"capture-pane", "-p"}, flags...)...)
		if err == nil && pattern.MatchString(screen) {
			return screen
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("it never showed %s, but (%v):\n%s", want, err, screen)
		}
	}
}

const coloured = `\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;5;\d+)m`

// TestTop drives the program by its keys on a terminal, and looks at what it
// shows.
func TestTop(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	ping(t, p.dial(t, "192.168.77.2:7"))
	p.dial(t, "192.168.77.2:19") // and never reads: the peer's window closes
	busy := p.dial(t, "192.168.77.2:9")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		b := make([]byte, 64<<10)
		for {
			if _, err := busy.Write(b); err != nil {
				return
			}
		}
	}()
	defer func() { busy.Close(); <-sent }()

	s := newTerminal(t, "80", "24", program+" top -d 0.2 --socket "+p.socket+"; echo status=$?; exec cat")
	screen := s.shows(`^ESTAB +192\.168\.77\.2:9 +192\.168\.77\.1:\d+ +[0-9.]+[MG] `)
	t.Logf("\n%s", screen)
	for _, want := range []string{
		`^tapstack top - \d\d:\d\d:\d\d  \d+ sockets: .*3 ESTAB,`,
		`^tap0 +in +[0-9.]+[MG]B/s +\S+ frames/s   out `,
		`^by rate  \(h: help, q: quit\)`,
		`^STATE  LOCAL +REMOTE +IN\*  OUT\* RECV    SEND    HELD UP BY`,
		`^ESTAB  192\.168\.77\.2:19 +\S+ +0 +0 \.{7} #*\+{3,}\.? +peer`,
		`^LISTEN \*:7 +\* `,
	} {
		s.shows(want)
	}
	s.shows(coloured, "-e")

	s.press("S", "S", "S", "S", "S") // back round the end to the send buffer
	s.shows(`^by sendq(?s:.*)SEND\* +HELD UP BY\nESTAB  192\.168\.77\.2:19`)
	s.press("r")
	s.shows(`^by sendq reversed`)
	s.press("r", "/")
	s.shows(`^filter:`)
	s.press("-l", "sport = :x")
	s.press("Enter")
	s.shows(`^filter: sport = :x  +":x" is no port number`)
	s.press("BSpace")
	s.press("7", "Enter")
	screen = s.shows(`^by sendq  filter: sport = :7(?s:.*)BY\n.*192\.168\.77\.2:7 .*\nUDP .*\nLISTEN`)
	if strings.Contains(screen, ":19") || strings.Contains(screen, "2:9") {
		t.Errorf("the filter lets through:\n%s", screen)
	}

	s.press("Enter")
	screen = s.shows(`^tcp_info$(?s:.*)snd_mss +\d+`)
	t.Logf("\n%s", screen)
	for _, want := range []string{"tcp 192.168.77.2:7 - 192.168.77.1:", "state   ESTABLISHED   in 0B/s", "0 of ", "peer's window ", "held up by "} {
		if !strings.Contains(screen, want) {
			t.Errorf("no %q in the detail", want)
		}
	}
	s.press("Escape")
	s.shows(`^STATE `)
	s.press("h")
	s.shows(`sort by the next`)
	s.press("h")
	s.shows(`^STATE `)
	s.press("p")
	s.shows(`PAUSED`)
	if out, err := s.run("resize-window", "-x", "50", "-y", "10"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.shows(`^REMOTE +IN +OUT RECV +SEND\*$`)
	s.press("q")
	s.shows(`^status=0`)
}

// TestTopWithoutColour: no sequence that sets one.
func TestTopWithoutColour(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	c := p.dial(t, "192.168.77.2:19")
	s := newTerminal(t, "80", "24", "NO_COLOR=1 "+program+" top -d 0.2 -t --socket "+p.socket)
	screen := s.shows(`TCP only(?s:.*)192\.168\.77\.2:19`, "-e")
	if regexp.MustCompile(coloured).MatchString(screen) {
		t.Errorf("colours:\n%q", screen)
	}
	// The daemon goes, and top says so instead of ending.
	c.Close()
	p.wants(t, 0, "stop")
	s.shows(`no daemon answers at`)
	s.press("q")
}

// TestTopBatch: text and JSON for other programs.
func TestTopBatch(t *testing.T) {
	ns := needTAP(t)
	p := start(t, ns, "-c", config(t, controlledConfig))
	ping(t, p.dial(t, "192.168.77.2:7"))
	text := p.wants(t, 0, "top -b -n 2 -d 0.05 state established sport = :7", "tap0 ", "HELD UP BY", "filter: state established sport = :7")
	if strings.Count(text, "tapstack top - ") != 2 || strings.Count(text, "192.168.77.2:7 ") != 2 {
		t.Errorf("not two looks:\n%s", text)
	}
	lines := strings.Split(strings.TrimSpace(p.wants(t, 0, "top --json -n 3 -d 0.05 --limit 2 -s local")), "\n")
	if len(lines) != 3 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		var w api.SocketWatch
		if err := json.Unmarshal([]byte(l), &w); err != nil || len(w.Sockets) != 2 || w.Matched < 4 || w.Sockets[0].Rates == nil || w.Links[0].Rates == nil {
			t.Errorf("%v: %s", err, l)
		}
	}
	if out := p.wants(t, 0, "top --once"); strings.Count(out, "tapstack top - ") != 1 {
		t.Errorf("--once:\n%s", out)
	}
	p.wants(t, 2, "top", "this is no terminal: use -b")
	p.wants(t, 2, "top -s foo -b", "want one of rate")
	p.wants(t, 2, "top -d 0.01 -b", "at least 0.05")
	p.wants(t, 2, "top -b sport = x", `"x" is no port number`)
}
