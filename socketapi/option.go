package socketapi

import (
	"fmt"
	"slices"
	"syscall"
)

// Option names a socket option whose value is a number. Options have the names,
// units and limits of Linux's socket(7), tcp(7), udp(7), ip(7) and ipv6(7),
// with one exception: SO_SNDBUF and SO_RCVBUF are payload bytes and read back
// as they were set, not doubled.
//
// An option that this stack cannot give its meaning is not there: setting it
// returns ENOPROTOOPT. (gVisor stores TCP_SYNCNT and TCP_WINDOW_CLAMP and uses
// neither.) What has no number has a method of its own: [Socket.SetLinger],
// [Socket.SetCongestionControl], [Socket.BindToDevice], [Socket.JoinGroup],
// [Socket.Info].
type Option int

// The options. Booleans are 0 and 1.
const (
	SO_SNDBUF     Option = iota + 1 // send buffer's size in payload bytes; turns its autotuning off
	SO_RCVBUF                       // receive buffer's size in payload bytes; turns its autotuning off
	SO_RCVLOWAT                     // readable with this many bytes (or the end of the stream), at most the buffer's size
	SO_REUSEADDR                    // bind beside connections in TIME-WAIT
	SO_REUSEPORT                    // share a port with sockets that have this too
	SO_KEEPALIVE                    // probe an idle connection
	SO_BROADCAST                    // may send to a broadcast address
	SO_TIMESTAMP                    // RecvMsg tells when a datagram came
	SO_NO_CHECK                     // UDP over IPv4 without checksum
	SO_ERROR                        // read only: the pending errno, which is then forgotten
	SO_TYPE                         // read only: 1 stream, 2 datagram (SOCK_STREAM, SOCK_DGRAM)
	SO_PROTOCOL                     // read only: 6, 17, 1 or 58
	SO_DOMAIN                       // read only: 2 or 10 (Linux's AF_INET, AF_INET6)
	SO_ACCEPTCONN                   // read only: the socket listens

	TCP_NODELAY       // Nagle's algorithm off
	TCP_CORK          // hold back segments that are not full, for 200 ms at most
	TCP_MAXSEG        // bounds segments both ways, TCP options counted in, 88 to 32,767; 0 takes it away. Set before connect or listen; later it only lowers what we send. Reads the payload of ours
	TCP_KEEPIDLE      // seconds until the first keepalive probe
	TCP_KEEPINTVL     // seconds between probes
	TCP_KEEPCNT       // probes without answer that end the connection
	TCP_USER_TIMEOUT  // milliseconds that sent data may stay unacknowledged (RFC 5482), a SYN not among it; 0 for the stack's own limit
	TCP_LINGER2       // seconds that an orphan stays in FIN-WAIT-2; negative for no limit
	TCP_DEFER_ACCEPT  // seconds that Accept waits for the first data
	TCP_QUICKACK      // 1: this stack never delays an ACK
	TCP_NOTSENT_LOWAT // writable with fewer unsent bytes than this; 0 for no mark
	TCP_INQ           // RecvMsg tells how much is left in the receive buffer

	IP_TTL            // hops of what is sent, 1 to 255
	IP_TOS            // DSCP (upper six bits); TCP keeps the ECN bits 0
	IP_MTU_DISCOVER   // 0 don't, 1 want, 2 do, 3 probe
	IP_MULTICAST_TTL  // hops of what is sent to groups
	IP_MULTICAST_LOOP // what is sent to groups comes back to members here
	IP_RECVTTL        // RecvMsg tells the TTL
	IP_RECVTOS        // RecvMsg tells the TOS
	IP_PKTINFO        // RecvMsg tells destination and NIC

	IPV6_V6ONLY         // IPv6 alone; before bind, connect and listen
	IPV6_UNICAST_HOPS   // hops of what is sent, -1 for the default
	IPV6_TCLASS         // traffic class of what is sent
	IPV6_MULTICAST_HOPS // hops of what is sent to groups
	IPV6_MULTICAST_LOOP // what is sent to groups comes back to members here
	IPV6_RECVPKTINFO    // RecvMsg tells destination and NIC
	IPV6_RECVHOPLIMIT   // RecvMsg tells the hop limit
	IPV6_RECVTCLASS     // RecvMsg tells the traffic class
)

// String is the option's name.
func (o Option) String() string {
	if spec, ok := optionTable[o]; ok {
		return spec.name
	}
	return fmt.Sprintf("Option(%d)", int(o))
}

// OptionByName finds an option, such as "SO_RCVBUF".
func OptionByName(name string) (Option, bool) {
	for o, spec := range optionTable {
		if spec.name == name {
			return o, true
		}
	}
	return 0, false
}

// SetOption sets an option, like setsockopt(2). Sizes are clamped to what the
// stack allows, as Linux does; [Socket.Option] reads back what is in force.
//
// Errors: ENOPROTOOPT for an option this kind of socket has not, EINVAL for a
// value outside its range.
func (so *Socket) SetOption(o Option, v int) error {
	if err := so.use(); err != nil {
		return err
	}
	defer so.done()
	spec, ok := optionTable[o]
	if !ok || spec.set == nil || !spec.has(so) {
		return syscall.ENOPROTOOPT
	}
	if err := spec.set(so, v); err != nil {
		return err
	}
	if so.watched.Load()&watchSent != 0 {
		so.tell() // without Nagle or TCP_CORK more may have been sent
	}
	if spec.inherited && so.kind == stream {
		so.remember(setting{option: o, value: v})
	}
	return nil
}

// Option reads an option, like getsockopt(2). ENOPROTOOPT for one that this
// kind of socket has not.
func (so *Socket) Option(o Option) (int, error) {
	if err := so.use(); err != nil {
		return 0, err
	}
	defer so.done()
	spec, ok := optionTable[o]
	if !ok || !spec.has(so) {
		return 0, syscall.ENOPROTOOPT
	}
	return spec.get(so)
}

// optionSpec is one row of the table of options.
type optionSpec struct {
	name      string
	has       func(*Socket) bool
	get       func(*Socket) (int, error)
	set       func(*Socket, int) error // nil for what can only be read
	inherited bool                     // by accepted sockets
}

// setting is something that was set on a listener and holds on what it accepts.
type setting struct {
	option Option
	apply  func(*Socket) error // nil: set option to value
	value  int
}

// apply puts a setting in force.
func (so *Socket) apply(s setting) error {
	if s.apply != nil {
		return s.apply(so)
	}
	return so.SetOption(s.option, s.value)
}

// What has no number is remembered by these.
const (
	lingerSetting Option = -1 - iota
	congestionSetting
)

// remember keeps a setting for sockets to be accepted, once per option: the
// last one counts. It changes nothing in place, because bequeath reads without
// the lock.
func (so *Socket) remember(s setting) {
	so.mu.Lock()
	defer so.mu.Unlock()
	settings := slices.Clone(so.settings)
	if i := slices.IndexFunc(settings, func(old setting) bool { return old.option == s.option }); i >= 0 {
		settings[i] = s
	} else {
		settings = append(settings, s)
	}
	so.settings = settings
}

// bequeath puts in force on an accepted socket what was set on its listener:
// gVisor hands nothing down but the receive buffer's size, and turns its
// autotuning on again.
func (so *Socket) bequeath(child *Socket) {
	so.mu.Lock()
	settings := so.settings
	so.mu.Unlock()
	child.ep.SocketOptions().SetDelayOption(so.ep.SocketOptions().GetDelayOption())
	child.flags.Store(so.flags.Load())
	child.autotuneMax.Store(so.autotuneMax.Load())
	child.tuneSend(int(so.sendTuneMax.Load()))
	if so.flagged(flagAccount) {
		_ = child.SetAccounting(true) // the child is new and a stream
	}
	for _, s := range settings {
		// Cannot fail: it did not on the listener. What the connection's state
		// no longer allows was in force when its SYN came.
		if s.apply != nil {
			_ = s.apply(child)
		} else {
			_ = optionTable[s.option].set(child, s.value)
		}
	}
}

// flag is an option that is nothing but a bit kept with the socket.
type flag uint32

const (
	flagTimestamp flag = 1 << iota
	flagInq
	flagReceiveFixed // SO_RCVBUF was set
	flagAccount      // accepted sockets keep an account
	flagInfo4        // IP_PKTINFO
	flagInfo6        // IPV6_RECVPKTINFO
	flagSendFixed    // SO_SNDBUF was set
)

// flagged reports whether a flag, or one of several, is set.
func (so *Socket) flagged(f flag) bool { return so.flags.Load()&uint32(f) != 0 }
