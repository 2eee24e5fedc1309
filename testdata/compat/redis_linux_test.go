package compat

import (
	"encoding/csv"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/redcon"

	"tapstack/testdata/compat/world"
)

// TestRedis has redis-benchmark, on the kernel's side, drive a server of ours.
func TestRedis(t *testing.T) {
	bench := world.Tool(t, "redis-benchmark", "redis-tools")
	world.TAP(t, func(t *testing.T, l *world.Link) {
		for _, c := range []struct {
			name     string
			requests int // of each command
			flags    []string
		}{
			{"one at a time", 1000, []string{"-c", "50"}},
			{"pipelined", 5000, []string{"-c", "50", "-P", "16"}},
			{"large values", 300, []string{"-c", "5", "-d", "20000"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := serveRedis(t, l.Listen(t))
				host, port, _ := net.SplitHostPort(s.Addr().String())
				args := append([]string{"-h", host, "-p", port, "-n", strconv.Itoa(c.requests),
					"-t", "ping_mbulk,set,get,incr", "--csv"}, c.flags...)
				out, status := l.Run(t, nil, bench, args...)
				if status != 0 {
					t.Errorf("exit status %d", status)
				}
				checkRedis(t, out, "PING_MBULK", "SET", "GET", "INCR")
				for _, command := range []string{"ping", "set", "get", "incr"} {
					if n := s.count(command).Load(); n < int64(c.requests) {
						t.Errorf("the server has seen %d times %s, want %d", n, command, c.requests)
					}
				}
				if n, _ := strconv.Atoi(string(s.get("counter:__rand_int__"))); n < c.requests {
					t.Errorf("the counter stands at %d, want %d", n, c.requests)
				}
			})
		}
	})
}

// checkRedis wants a line for each test, with a rate above zero.
func checkRedis(t *testing.T, out string, tests ...string) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != 1+len(tests) {
		t.Fatalf("%v in %q", err, out)
	}
	for i, line := range lines[1:] {
		rps, err := strconv.ParseFloat(line[1], 64)
		if line[0] != tests[i] || err != nil || rps <= 0 {
			t.Errorf("want a rate of %s, have %q", tests[i], line)
		}
	}
}

// redisServer knows the commands that redis-benchmark uses.
type redisServer struct {
	net.Listener
	open   sync.WaitGroup // connections
	counts sync.Map       // of commands, *atomic.Int64 by name

	mu   sync.Mutex // guards data
	data map[string][]byte
}

func serveRedis(t *testing.T, l net.Listener) *redisServer {
	t.Helper()
	s := &redisServer{Listener: l, data: make(map[string][]byte)}
	done := make(chan error, 1)
	go func() {
		done <- redcon.Serve(l, s.handle,
			func(redcon.Conn) bool { s.open.Add(1); return true },
			func(redcon.Conn, error) { s.open.Done() })
	}()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.open.Wait()
	})
	return s
}

func (s *redisServer) count(command string) *atomic.Int64 {
	n, _ := s.counts.LoadOrStore(command, new(atomic.Int64))
	return n.(*atomic.Int64)
}

func (s *redisServer) get(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[key]
}

func (s *redisServer) handle(c redcon.Conn, cmd redcon.Command) {
	verb := strings.ToLower(string(cmd.Args[0]))
	s.count(verb).Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case verb == "ping":
		c.WriteString("PONG")
	case verb == "config": // redis-benchmark asks how the server saves
		c.WriteArray(2)
		c.WriteBulk(cmd.Args[2])
		c.WriteBulkString("")
	case verb == "set" && len(cmd.Args) == 3:
		s.data[string(cmd.Args[1])] = append([]byte(nil), cmd.Args[2]...)
		c.WriteString("OK")
	case verb == "get" && len(cmd.Args) == 2:
		if v, ok := s.data[string(cmd.Args[1])]; ok {
			c.WriteBulk(v)
		} else {
			c.WriteNull()
		}
	case verb == "incr" && len(cmd.Args) == 2:
		n, _ := strconv.Atoi(string(s.data[string(cmd.Args[1])]))
		s.data[string(cmd.Args[1])] = strconv.AppendInt(nil, int64(n+1), 10)
		c.WriteInt(n + 1)
	default:
		c.WriteError("ERR not a command of this server")
	}
}
