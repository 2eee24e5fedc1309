package demo

import (
	"context"
	"net/netip"
	"time"
)

// reach is the first chapter: addresses are learnt, echoes answered.
func (st *story) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, c := range []struct {
		name string
		ping func(context.Context, netip.Addr) (time.Duration, error)
		to   netip.Addr
	}{
		{"ping over IPv4, " + st.far.name() + " to tapstack", st.far.ping, ours4.Addr()},
		{"ping over IPv6, " + st.far.name() + " to tapstack", st.far.ping, ours6.Addr()},
		{"ping over IPv4, tapstack to " + st.far.name(), st.ping, theirs4.Addr()},
		{"ping over IPv6, tapstack to " + st.far.name(), st.ping, theirs6.Addr()},
	} {
		rtt, err := c.ping(ctx, c.to)
		if err != nil {
			st.check(c.name, false, "%v: %v", c.to, err)
			continue
		}
		st.check(c.name, true, "reply from %v in %v", c.to, rtt.Round(time.Microsecond))
	}
	return st.learnt(ctx)
}

func (st *story) ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	return stackPing(ctx, st.s, to)
}

// learnt checks that each side knows the other's hardware address by now.
func (st *story) learnt(_ context.Context) error {
	theirs, err := st.far.neighbours()
	if err != nil {
		return err
	}
	ours, err := stackHost{st.s}.neighbours()
	if err != nil {
		return err
	}
	mac := st.nic.HardwareAddr().String()
	for _, c := range []struct {
		name  string
		table map[netip.Addr]string
		addr  netip.Addr
		want  string // "" for any
	}{
		{"ARP: the " + st.far.name() + " has learnt our hardware address", theirs, ours4.Addr(), mac},
		{"NDP: the " + st.far.name() + " has learnt our hardware address", theirs, ours6.Addr(), mac},
		{"ARP: we have learnt theirs", ours, theirs4.Addr(), ""},
		{"NDP: we have learnt theirs", ours, theirs6.Addr(), ""},
	} {
		got := c.table[c.addr]
		ok := got != "" && (c.want == "" || got == c.want)
		if got == "" {
			got = "unknown"
		}
		st.check(c.name, ok, "%v is at %s", c.addr, got)
	}
	return nil
}
