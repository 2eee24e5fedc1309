package socketapi_test

import (
	"context"
	"net"
	"testing"

	"tapstack/socketapi"
)

// TestNilContext: every call that takes a context says so as package net's
// DialContext does, whatever else it would have said.
func TestNilContext(t *testing.T) {
	a, b := pair(t, nil)
	c, _ := connect(t, a, b, b4.Addr())
	p := socketapi.NewPoller()
	defer p.Close()
	d, lc := &socketapi.Dialer{Stack: a}, &socketapi.ListenConfig{Stack: a}
	var none context.Context
	for name, call := range map[string]func(){
		"package net":               func() { _, _ = new(net.Dialer).DialContext(none, "tcp", "127.0.0.1:1") },
		"Dialer.DialContext":        func() { _, _ = d.DialContext(none, "tcp", "192.0.2.2:1") },
		"Dialer.DialContext, UDP":   func() { _, _ = d.DialContext(none, "udp", "192.0.2.2:1") },
		"Dialer.DialContext, wrong": func() { _, _ = d.DialContext(none, "sctp", "") },
		"ListenConfig.Listen":       func() { _, _ = lc.Listen(none, "tcp", ":0") },
		"ListenConfig.ListenTCP":    func() { _, _ = lc.ListenTCP(none, "tcp", ":0") },
		"ListenConfig.ListenPacket": func() { _, _ = lc.ListenPacket(none, "udp", ":0") },
		"ListenConfig.ListenUDP":    func() { _, _ = lc.ListenUDP(none, "udp", ":0") },
		"TCPConn.WaitReadable":      func() { _ = c.WaitReadable(none, 1) },
		"TCPConn.WaitWritable":      func() { _ = c.WaitWritable(none) },
		"TCPConn.WaitUnsent":        func() { _ = c.WaitUnsent(none, 0) },
		"TCPConn.WaitAcked":         func() { _ = c.WaitAcked(none) },
		"Poller.Wait":               func() { _, _ = p.Wait(none, make([]socketapi.Event, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := recover(); r != "nil context" {
					t.Errorf("panic: %v", r)
				}
			}()
			call()
			t.Error("no panic")
		})
	}
}
