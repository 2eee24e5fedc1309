package cli

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"tapstack/internal/daemon/api"
	"tapstack/internal/ssfilter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// some are sockets of every kind.
var some = []api.Socket{
	{Protocol: "tcp", State: "LISTEN", Local: "*:80"},
	{Protocol: "tcp", State: "ESTABLISHED", Local: "192.0.2.1:80", Remote: "10.1.2.3:4000", RecvQ: 5, SendQ: 1234567},
	{Protocol: "tcp", State: "ESTABLISHED", Local: "[fd00::1]:443", Remote: "[fd00::2]:5000"},
	{Protocol: "tcp", State: "TIME-WAIT", Local: "192.0.2.1:80", Remote: "10.1.2.4:4001"},
	{Protocol: "udp", Local: "*:53"},
	{Protocol: "udp", Local: "192.0.2.1:1000", Remote: "10.1.2.3:53"},
}

func TestSSFilter(t *testing.T) {
	for _, c := range []struct{ filter, want string }{ // want: indexes into some, of all states
		{"", "012345"},
		{"sport = :80", "013"}, {"sport = 80", "013"}, {"sport :80", "013"}, {"sport eq 80", "013"}, {"sport==80", "013"},
		{"sport != :80", "245"}, {"not sport = :80", "245"}, {"! sport = :80", "245"},
		{"dport > 4000", "23"}, {"dport >= 4000", "123"}, {"dport lt 54", "045"}, {"dport <= 53", "045"},
		{"dst 10.0.0.0/8", "135"}, {"dst 10.1.2.3", "15"}, {"dst 10.1.2.3:4000", "1"}, {"dst = 10.1.2.3", "15"}, {"dst != 10.1.2.3", "0234"},
		{"src fd00::1", "2"}, {"src [fd00::1]:443", "2"}, {"src [fd00::1]:444", ""}, {"src fd00::/16", "2"}, {"src :80", "013"}, {"src *:80", "013"},
		{"sport = :80 and dst 10.1.2.4", "3"}, {"sport = :80 dst 10.1.2.4", "3"}, {"sport = :80 && dst 10.1.2.4", "3"},
		{"( sport = :80 or sport = :443 ) and dport > 0", "123"}, {"(sport=:80||sport=:443)&&dport>0", "123"},
		{"sport = :53 or sport = :80 and dst 10.1.2.4", "34"}, // and binds tighter
		{"state established", "125"}, {"state time-wait", "3"}, {"state listening", "0"}, {"state closed", "4"},
		{"exclude established", "034"}, {"state connected exclude time-wait sport = :80", "1"}, {"state established state time-wait", "1235"},
		{"state all", "012345"},
	} {
		f, err := ssfilter.Parse(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		if f.States == nil {
			f.States = ssfilter.AllStates
		}
		got := ""
		for i := range some {
			if (some[i].Protocol == "udp" || slices.Contains(f.States, some[i].State)) && (&SS{}).shows(&some[i], f) {
				got += string(rune('0' + i))
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.filter, got, c.want)
		}
	}
}

// TestSSFilterRefused: what is wrong with a filter is the user's to change.
func TestSSFilterRefused(t *testing.T) {
	err := (&SS{Filter: []string{"sport", "=", "http"}}).Run(t.Context(), nil, nil)
	var usage *UsageError
	if !errors.As(err, &usage) || err.Error() != `ss: "http" is no port number` {
		t.Errorf("%v", err)
	}
}

func TestSSPrint(t *testing.T) {
	list := slices.Clone(some[:2])
	list[1].Send = &api.SendBuffer{Size: 2000000, Queued: 1234567, Unsent: 7, Window: 8}
	list[1].Receive = &api.ReceiveBuffer{Size: 100, Queued: 5, Window: 95}
	list[1].Holdup = &api.Holdup{Verdict: "the peer: its receive window is full (97% of 1s)"}
	list[1].Info = api.Fields{
		{Name: "tcpi_options", Value: 7}, {Name: "tcpi_snd_wscale", Value: 8}, {Name: "tcpi_rcv_wscale", Value: 7}, {Name: "tcpi_rto", Value: 204000},
		{Name: "tcpi_rtt", Value: 1500}, {Name: "tcpi_rttvar", Value: 250}, {Name: "tcpi_snd_mss", Value: 1448}, {Name: "tcpi_snd_cwnd", Value: 10},
		{Name: "tcpi_unacked", Value: 3}, {Name: "tcpi_last_data_sent", Value: 4}, {Name: "tcpi_busy_time", Value: 2000000}, {Name: "tcpi_rwnd_limited", Value: 1000000},
	}
	var b bytes.Buffer
	list[1].Service = "forward.web"
	(&SS{TCP: true, Memory: true, Info: true, Timers: true, Services: true}).write(&b, list)
	const want = `State   Recv-Q   Send-Q  Local Address:Port  Peer Address:Port
LISTEN       0        0  *:80                *:*
ESTAB        5  1234567  192.0.2.1:80        10.1.2.3:4000  users:(("forward.web"))  timer:(on,200ms,0)
	 send:(1234567 of 2000000, unsent 7, peer's window 8) receive:(5 of 100, our window 95)
	 ts sack wscale:8,7 rto:204 rtt:1.5/0.25 mss:1448 cwnd:10 lastsnd:4 unacked:3 busy:2000ms rwnd_limited:1000ms(50.0%)
	 held up by the peer: its receive window is full (97% of 1s)
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	b.Reset()
	(&SS{NoHeader: true}).write(&b, some[4:])
	if got, want := b.String(), "udp  UNCONN  0  0  *:53            *:*\nudp  ESTAB   0  0  192.0.2.1:1000  10.1.2.3:53\n"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
