// Package compat is other people's software on tapstack's sockets: libraries
// that take a net.Conn, net.Listener or net.PacketConn, and programs that talk
// to them from the kernel's side of a TAP. It is a module of its own so that
// whoever embeds tapstack downloads none of that.
package compat

import (
	"os"
	"testing"

	"tapstack/internal/stacktest"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }
