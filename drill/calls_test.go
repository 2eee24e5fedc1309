package drill_test

import (
	"testing"

	"tapstack/drill"
)

// What a receive that waits for everything has already is its answer where it
// may not wait, whoever says so.
func TestWaitAllWithoutWaiting(t *testing.T) {
	const data = passive + "+0 < P. 1:101(100) ack 1 win 65535\n+0 > . 1:1(0) ack 101\n"
	for name, src := range map[string]string{
		"flag":       data + "+0 recv(4, ..., 200, MSG_WAITALL|MSG_DONTWAIT) = 100",
		"descriptor": data + "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 recv(4, ..., 200, MSG_WAITALL) = 100",
		"nothing":    passive + "+0 recv(4, ..., 200, MSG_WAITALL|MSG_DONTWAIT) = -1 EAGAIN",
		"waits": data + "+0...0.2 recv(4, ..., 200, MSG_WAITALL) = 200\n" +
			"+0.2 < P. 101:201(100) ack 1 win 65535\n+0 > . 1:1(0) ack 201",
	} {
		t.Run(name, func(t *testing.T) {
			if res := drill.RunText("x.pkt", src, nil); res.Outcome != drill.Pass {
				t.Error(res)
			}
		})
	}
}

// A descriptor is free as soon as its close begins, as it is on Linux, however
// long the socket lingers.
func TestDescriptorIsFreeWhileItLingers(t *testing.T) {
	const src = lingers + `
+1   socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
+0   close(4) = 0
+1   < . 1:1(0) ack 102 win 65535
`
	if res := drill.RunText("x.pkt", src, nil); res.Outcome != drill.Pass {
		t.Error(res)
	}
}
