package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"tapstack/drill"
	"tapstack/tap/capture"
)

// TestInitialSequenceNumber looks at the sequence numbers of SYN-ACKs, which
// scripts do not see: they follow a clock of 64 ns (RFC 6528; netstack's
// generateSecureISN), other ports and another secret have others.
func TestInitialSequenceNumber(t *testing.T) {
	const script = `
0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 10) = 0
+0 < 40001 > 8080 S 0:0(0) win 65535 <mss 1000>
+0 > 8080 > 40001 S. 0:0(0) ack 1 <...>
+0 < 40001 > 8080 R 1:1(0) win 0
+%d < 40001 > 8080 S 0:0(0) win 65535 <mss 1000>
+0 < 40002 > 8080 S 0:0(0) win 65535 <mss 1000>
+0 > 8080 > 40002 S. 0:0(0) ack 1 <...>
`
	of := func(seed uint64, seconds int) []uint32 {
		var file memory
		res := drill.RunText("isn", fmt.Sprintf(script, seconds), &drill.Config{
			Seed: seed, Capture: func(string) (io.WriteCloser, error) { return &file, nil },
		})
		if res.Outcome != drill.Pass {
			t.Fatal(res)
		}
		isns := synACKs(t, file.Bytes())
		if len(isns) != 3 {
			t.Fatalf("%d SYN-ACKs", len(isns))
		}
		return isns
	}
	a, again, other := of(1, 1), of(1, 1), of(2, 1)
	const tick = 64 // ns
	for _, seconds := range []int{1, 10} {
		n := of(1, seconds)
		if d, want := n[1]-n[0], uint32(seconds*(1e9/tick)); d != want {
			t.Errorf("%d s later it is %d more; it should be %d", seconds, d, want)
		}
	}
	if a[0] != again[0] {
		t.Error("the same secret and the same time have another number")
	}
	if a[0] == other[0] || a[1] == a[2] || a[2]-a[1] == other[2]-other[1] {
		t.Errorf("numbers %d, with another secret %d: what one port tells of another should be a secret", a, other)
	}
}

// memory is a capture file that is not on disk.
type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

// synACKs are the sequence numbers of SYN-ACKs over IPv4 in a capture.
func synACKs(t *testing.T, file []byte) (isns []uint32) {
	t.Helper()
	r, err := capture.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return isns
		}
		if err != nil {
			t.Fatal(err)
		}
		tcp := header.TCP(rec.Data[header.EthernetMinimumSize+header.IPv4MinimumSize:])
		if tcp.Flags() == header.TCPFlagSyn|header.TCPFlagAck {
			isns = append(isns, tcp.SequenceNumber())
		}
	}
}
