package node

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/ssfilter"
	"tapstack/socketapi"
	"tapstack/stack"
)

// WatchSockets calls each with a look at the sockets every interval, with the
// first at once and with the second soon, until ctx is done or each fails. What it costs is one glance
// at every socket each time, and for those that are shown the rest.
func (n *Node) WatchSockets(ctx context.Context, q *api.SocketWatchQuery, each func(*api.SocketWatch) error) error {
	w, err := n.watch(q)
	if err != nil {
		return err
	}
	// Sequence numbers wrap: with much traffic they are read between two looks
	// as well (see socketapi.Census).
	const much = 1 << 30
	step := min(250*time.Millisecond, q.Interval)
	tick := time.NewTicker(step)
	defer tick.Stop()
	next, every := time.Now(), step // the second look soon: it is the first with rates
	var counted uint64              // by the links, when the sockets were last counted
	for {
		nics := n.s.Stats().NICs
		now := time.Now()
		switch total := bytesOf(nics); {
		case !now.Add(step / 2).Before(next): // the tick that is nearest
			if err := each(w.look(now, nics)); err != nil {
				return err
			}
			counted = total
			// Who is slow to read is asked less often, not more often later.
			next = next.Add(every * (1 + max(0, now.Sub(next))/every))
			every = q.Interval
		case total-counted > much:
			w.census.Count()
			counted = total
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func bytesOf(nics []stack.NICStats) (n uint64) {
	for i := range nics {
		n += nics[i].Device.RxBytes + nics[i].Device.TxBytes
	}
	return n
}

// watch is one client's look at the sockets, again and again.
type watch struct {
	q       *api.SocketWatchQuery
	filter  *ssfilter.Filter
	compare func(a, b *candidate) int
	census  *socketapi.Census

	last  time.Time // of the look before
	links map[string]api.LinkTraffic
}

// candidate is a socket that may be shown; one of both is set.
type candidate struct {
	tcp     *socketapi.Glance
	udp     *socketapi.UDPSocketInfo
	in, out float64
}

func (n *Node) watch(q *api.SocketWatchQuery) (*watch, error) {
	f, err := ssfilter.Parse(q.Filter)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"filter\": %v", err)
	}
	if q.Sort == "" {
		q.Sort = api.Sorts[0]
	}
	compare, ok := comparisons[q.Sort]
	if !ok {
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"sort\": want one of %s", strings.Join(api.Sorts, ", "))
	}
	if q.Limit == 0 {
		q.Limit = api.MaxWatched
	}
	if q.Limit > api.MaxWatched {
		return nil, api.Errorf(http.StatusBadRequest, "parameter \"limit\": at most %d", api.MaxWatched)
	}
	return &watch{q: q, filter: f, compare: compare, census: socketapi.NewCensus(n.s), links: make(map[string]api.LinkTraffic)}, nil
}

// look is one answer.
func (w *watch) look(now time.Time, nics []stack.NICStats) *api.SocketWatch {
	out := &api.SocketWatch{Time: now, States: make(map[string]int), Sockets: []api.WatchedSocket{}}
	out.Links = w.traffic(now, nics)
	tcp, udp := w.census.Look()
	var found []candidate
	if !w.q.UDP || w.q.TCP {
		found = make([]candidate, 0, len(tcp))
	}
	for _, g := range tcp {
		out.States[g.State.String()]++
		if (w.q.TCP || !w.q.UDP) && w.takes(g.State.String(), g.Local, g.Remote) {
			in, to := g.Traffic.Rates()
			found = append(found, candidate{tcp: g, in: in, out: to})
		}
	}
	for i := range udp {
		u := &udp[i]
		out.States["UDP"]++
		state := socketapi.Established // as ss(8) has it
		if u.Remote.Port() == 0 {
			state = socketapi.Closed
		}
		if (w.q.UDP || !w.q.TCP) && w.takes(state.String(), u.Local, u.Remote) {
			in, to := u.Traffic.Rates()
			found = append(found, candidate{udp: u, in: in, out: to})
		}
	}
	out.Matched = len(found)
	w.sort(found)
	for i := range found[:min(w.q.Limit, len(found))] {
		out.Sockets = append(out.Sockets, w.show(&found[i]))
	}
	w.last = now
	return out
}

func (w *watch) takes(state string, local, remote netip.AddrPort) bool {
	return (w.filter.States == nil || slices.Contains(w.filter.States, state)) && w.filter.Match(local, remote)
}

// sort puts first what is shown first. What is equal stays as it was: by state
// and addresses.
func (w *watch) sort(found []candidate) {
	sign := 1
	if w.q.Reverse {
		sign = -1
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return sign * w.compare(&a, &b) })
}

func (w *watch) show(c *candidate) api.WatchedSocket {
	out := api.WatchedSocket{}
	var known bool
	if c.tcp != nil {
		out.Socket, known = tcpSocket(c.tcp, detail{true, w.q.Info, true}), c.tcp.Traffic.Known
	} else {
		out.Socket, known = udpSocket(c.udp, true), c.udp.Traffic.Known
	}
	if known {
		out.Rates = &api.Rates{In: c.in, Out: c.out}
	}
	return out
}

// traffic is what passes the links.
func (w *watch) traffic(now time.Time, nics []stack.NICStats) []api.LinkTraffic {
	out := []api.LinkTraffic{}
	for i := range nics {
		d := &nics[i].Device
		l := api.LinkTraffic{
			Name: nics[i].Name,
			Rx:   api.LinkCounts{Frames: d.RxFrames, Bytes: d.RxBytes, Drops: d.RxDrops.Total()},
			Tx:   api.LinkCounts{Frames: d.TxFrames, Bytes: d.TxBytes, Drops: d.TxDrops.Total()},
		}
		if was, ok := w.links[l.Name]; ok {
			seconds := max(now.Sub(w.last).Seconds(), 1e-9)
			each := func(now, was uint64) float64 { return float64(now-was) / seconds }
			l.Rates = &api.LinkRates{
				RxBytes: each(l.Rx.Bytes, was.Rx.Bytes), TxBytes: each(l.Tx.Bytes, was.Tx.Bytes),
				RxFrames: each(l.Rx.Frames, was.Rx.Frames), TxFrames: each(l.Tx.Frames, was.Tx.Frames),
			}
		}
		w.links[l.Name] = l
		out = append(out, l)
	}
	return out
}

// comparisons are api.Sorts.
var comparisons = map[string]func(a, b *candidate) int{
	"rate":   byNumber(func(c *candidate) float64 { return c.in + c.out }),
	"in":     byNumber(func(c *candidate) float64 { return c.in }),
	"out":    byNumber(func(c *candidate) float64 { return c.out }),
	"recvq":  byNumber(func(c *candidate) float64 { return float64(c.received()) }),
	"sendq":  byNumber(func(c *candidate) float64 { return float64(c.glance().SendQueued) }),
	"unsent": byNumber(func(c *candidate) float64 { return float64(c.glance().Unsent) }),
	"local":  func(a, b *candidate) int { return compareEnds(a, b, true) },
	"remote": func(a, b *candidate) int { return compareEnds(a, b, false) },
	"state":  func(a, b *candidate) int { return cmp.Compare(a.glance().State, b.glance().State) },
}

// byNumber puts the largest first, and behind all others listeners, which have
// neither rates nor queues.
func byNumber(of func(*candidate) float64) func(a, b *candidate) int {
	listens := func(c *candidate) float64 {
		if c.glance().State == socketapi.Listening {
			return -1
		}
		return of(c)
	}
	return func(a, b *candidate) int { return cmp.Compare(listens(b), listens(a)) }
}

// glance is c's, or for UDP one that says nothing.
func (c *candidate) glance() *socketapi.Glance {
	if c.tcp != nil {
		return c.tcp
	}
	return &noGlance
}

var noGlance socketapi.Glance

func (c *candidate) received() int {
	if c.udp != nil {
		return c.udp.Receive.Next
	}
	return c.tcp.ReceiveQueued
}

// ends are both addresses.
func (c *candidate) ends() (local, remote netip.AddrPort) {
	if c.udp != nil {
		return c.udp.Local, c.udp.Remote
	}
	return c.tcp.Local, c.tcp.Remote
}

func compareEnds(a, b *candidate, localFirst bool) int {
	al, ar := a.ends()
	bl, br := b.ends()
	if localFirst {
		return cmp.Or(al.Compare(bl), ar.Compare(br))
	}
	return cmp.Or(ar.Compare(br), al.Compare(bl))
}
