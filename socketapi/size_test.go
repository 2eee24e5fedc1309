package socketapi

import (
	"testing"
	"unsafe"
)

// TestConnectionIsSmall: what an idle connection costs besides gVisor's endpoint
// is its struct, the two tokens of its sides, and its addresses.
func TestConnectionIsSmall(t *testing.T) {
	const tokens, addresses = 2 * 96, 2 * (40 + 16)
	if n := unsafe.Sizeof(TCPConn{}) + tokens + addresses; n > 1024 {
		t.Errorf("%d bytes", n)
	} else {
		t.Logf("TCPConn %d, Socket %d, in all %d bytes", unsafe.Sizeof(TCPConn{}), unsafe.Sizeof(Socket{}), n)
	}
}
