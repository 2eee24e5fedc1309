package drill_test

import (
	"strings"
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

// Every event that is written for epoll_wait is compared.
func TestEventsOfEpollWait(t *testing.T) {
	const two = `
0    socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0   bind(3, {sa_family=AF_INET, sin_port=htons(1001), sin_addr=INADDR_ANY}, ...) = 0
+0   socket(..., SOCK_DGRAM, IPPROTO_UDP) = 4
+0   bind(4, {sa_family=AF_INET, sin_port=htons(1002), sin_addr=INADDR_ANY}, ...) = 0
+0   epoll_create(1) = 5
+0   epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3}) = 0
+0   epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0   < 9 > 1001 udp (1)
+0   < 9 > 1002 udp (1)
`
	for _, c := range []struct{ events, reason string }{
		{"...", ""},
		{"[{events=EPOLLIN, fd=3}, {events=EPOLLIN, fd=4}]", ""},
		{"[{events=EPOLLIN, fd=3}, {events=EPOLLIN, fd=3}]", "data is 4, want 3"},
		{"[{events=EPOLLOUT, fd=3}, {events=EPOLLIN, fd=4}]", "events is EPOLLIN, want EPOLLOUT"},
		{"{events=EPOLLIN, fd=3}", "2 events came, and 1 are written"},
	} {
		res := drill.RunText("x.pkt", two+"+0 epoll_wait(5, "+c.events+", 8, 0) = 2", nil)
		if (res.Outcome == drill.Pass) != (c.reason == "") || !strings.Contains(res.Reason, c.reason) {
			t.Errorf("%s: %v; want %q", c.events, res, c.reason)
		}
	}
}

// What an ICMP error quotes is compared.
func TestQuote(t *testing.T) {
	for _, ip := range []string{"ipv4", "ipv6"} {
		for quote, reason := range map[string]string{
			"":             "",
			"[udp (10)]":   "",
			"[udp (11)]":   "quoted length 10, want 11",
			"[1:11(10)]":   "a packet of protocol 17 is quoted, want 6",
			"[udp (9~10)]": "",
		} {
			res := drill.RunText("x.pkt", "0 < udp (10)\n+0 > icmp unreachable port_unreachable "+quote, &drill.Config{IP: ip})
			if (res.Outcome == drill.Pass) != (reason == "") || !strings.Contains(res.Reason, reason) {
				t.Errorf("%s, %s: %v; want %q", ip, quote, res, reason)
			}
		}
	}
}
