package main

import (
	"bytes"
	"net"
	"os/exec"
	"testing"
)

// many makes n connections from the kernel to a service, which last until the
// test ends.
func (p *process) many(t testing.TB, address string, n int) {
	t.Helper()
	conns := make([]net.Conn, 0, n)
	t.Cleanup(func() {
		for _, c := range conns {
			_ = c.(*net.TCPConn).SetLinger(0) // no TIME-WAIT to wait for
			c.Close()
		}
	})
	err := p.ns.Do(func() error {
		for range n {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkSS is the whole command, from its start to its end, on ten thousand
// connections.
func BenchmarkSS(b *testing.B) {
	ns := needTAP(b)
	p := start(b, ns, "-c", config(b, controlledConfig))
	const n = 10_000
	p.many(b, "192.168.77.2:9", n)
	for _, flags := range []string{"-tn", "-tnm", "-tnmi"} {
		b.Run(flags, func(b *testing.B) {
			var cpu float64
			before := cpuOf(b, p.Process.Pid)
			for b.Loop() {
				var out bytes.Buffer
				cmd := exec.CommandContext(b.Context(), program, "ss", "--socket", p.socket, flags)
				cmd.Stdout = &out
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				if lines := bytes.Count(out.Bytes(), []byte{'\n'}); lines <= n {
					b.Fatalf("%d lines", lines)
				}
				cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
			}
			b.ReportMetric((cpuOf(b, p.Process.Pid)-before).Seconds()*1000/float64(b.N), "daemon-cpu-ms/op")
			b.ReportMetric(cpu*1000/float64(b.N), "client-cpu-ms/op")
		})
	}
}
