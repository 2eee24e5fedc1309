package tap

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// Device is one virtual Ethernet interface, seen from the program's end: what
// the other end (the kernel, or a second program) sends is read from its
// queues, what is written to its queues reaches the other end.
//
// All methods are safe for concurrent use. A device is live from the moment
// its constructor returns it until Close.
type Device interface {
	// Name is the interface's name: "tap0" for a TAP, a label for the rest.
	// Where the operating system may change it, [Watch] follows.
	Name() string

	// MTU is the IP MTU in bytes: the largest packet a frame may carry,
	// without Ethernet's 14 bytes. An offloaded frame may exceed it. Where
	// the operating system may change it, [Watch] follows.
	MTU() int

	// Queues are the device's queues, at least one. The slice is shared by
	// all callers and never changes; do not modify it.
	Queues() []Queue

	// Offloads says what the device takes and hands out beyond plain frames.
	// It does not change during the device's life.
	Offloads() Offloads

	// Stats is a snapshot of the device's counters.
	Stats() Stats

	// Close detaches the device. Reads and writes under way return
	// net.ErrClosed. It may be called more than once and by anyone; calls
	// after the first return nil.
	Close() error
}

// Queue is one lane of a device. Frames of one lane stay in order.
type Queue interface {
	// Read waits for the next frame and scatters it over bufs in order. It
	// returns the frame's length in bytes and how the frame is offloaded.
	// The queue keeps no reference to bufs. One goroutine reads at a time.
	//
	// A frame that bufs cannot hold is dropped and counted (Stats.RxDrops,
	// TooLarge) and the wait goes on. Errors: net.ErrClosed after Close,
	// ErrGone when the interface was deleted; every error is final.
	Read(bufs [][]byte) (n int, off Offload, err error)

	// Write sends the concatenation of bufs as one frame. The queue keeps no
	// reference to bufs. Any number of goroutines may write; a frame is never
	// interleaved with another.
	//
	// A full device makes the writer wait for a bounded time, never for ever.
	// Errors: ErrFull when that time ran out, ErrFrame for a frame the device
	// can not carry, ErrDown when the interface is down (each of these drops
	// the frame, counts it, and leaves the device usable), net.ErrClosed,
	// ErrGone.
	Write(bufs [][]byte, off Offload) error
}

// Idler is a Queue that can tell when its reader has nothing to do.
type Idler interface {
	// OnIdle makes Read call f, on its own goroutine, whenever it has found
	// no frame twice and given every goroutine that was ready to run a turn
	// between: before it sleeps, and while it looks again. f may write to the
	// queue and must not read from it. OnIdle comes before the first Read.
	//
	// False says that f will not be called: this queue is a wrapper around
	// one that cannot tell.
	OnIdle(f func()) bool
}

// Errors of a device. They are wrapped with the device's name and, where the
// kernel gave one, its errno; test with errors.Is.
var (
	// ErrFull: the device stayed full for as long as a writer may wait.
	ErrFull = errors.New("device full")
	// ErrFrame: shorter than an Ethernet header, larger than the MTU without
	// an offload that allows it (a VLAN tag's 4 bytes do not count), or with an offload header that contradicts
	// the frame or that the device does not support.
	ErrFrame = errors.New("frame not acceptable")
	// ErrDown: the interface, or the far end of the pipe, is down.
	ErrDown = errors.New("interface is down")
	// ErrGone: the interface was deleted while we held it.
	ErrGone = errors.New("interface is gone")
)

// Sizes in bytes.
const (
	// EthernetHeaderLen is what a frame has before its packet: two addresses
	// and a type.
	EthernetHeaderLen = 14

	// MinMTU is the smallest IP MTU (RFC 791); MinMTU6 the smallest with IPv6
	// (RFC 8200, 5).
	MinMTU  = 68
	MinMTU6 = 1280

	// MaxMTU is the largest IP MTU: a TAP refuses more, because a frame
	// counts its 14 bytes in 16 bits (tun.c: MAX_MTU - hard_header_len).
	MaxMTU = 65521

	// MaxFrame is the largest frame, offloaded or not.
	MaxFrame = EthernetHeaderLen + 65535
)

// Offload says how one frame differs from one that could go on a wire as it
// is. The zero value is a plain frame whose checksums are not vouched for.
// It is the virtio-net header (virtio 1.2, 5.1.6) without its encoding.
type Offload struct {
	// NeedsCsum: the checksum at CsumStart+CsumOffset holds only the
	// pseudo-header's sum; whoever puts the frame on a wire finishes it.
	NeedsCsum bool
	// CsumValid: the sender vouches for the checksums.
	CsumValid bool
	// CsumStart and CsumOffset are in bytes, from the frame's first byte and
	// from CsumStart. They mean something only with NeedsCsum.
	CsumStart, CsumOffset uint16

	// GSO is how the frame is to be cut, GSONone for not at all.
	GSO GSOType
	// ECN: the TCP segment carries CWR, which only the first piece may keep.
	ECN bool
	// GSOSize is the payload of each piece, in bytes (for TCP: the MSS).
	GSOSize uint16
	// HdrLen is the length of all headers, a hint, in bytes.
	HdrLen uint16
}

// GSOType is the protocol by which a large frame is cut.
type GSOType uint8

// GSO types.
const (
	GSONone  GSOType = iota
	GSOTCPv4         // TSO
	GSOTCPv6         // TSO
	GSOUDP           // USO: one datagram per GSOSize bytes of payload
)

// Offloads is what a device takes from a writer and may hand to a reader. It
// is symmetric: both directions have the same.
type Offloads struct {
	// Csum: frames with NeedsCsum. All others need it.
	Csum bool
	// TSO4, TSO6, USO: frames with the GSO type of that name; ECN: with ECN.
	TSO4, TSO6, USO, ECN bool
}

// Stats counts what passed a device. Rx is toward the program, Tx away from
// it. Bytes are frames, Ethernet header included, offload header not.
type Stats struct {
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64
	RxDrops, TxDrops  Drops
}

// Drops counts lost frames by cause. What the kernel drops before a TAP's
// queue, because nobody reads fast enough, only the kernel knows: it is in the
// interface's own counters (TX dropped).
type Drops struct {
	Full     uint64 // the queue stayed full (Tx: for as long as a writer may wait)
	TooShort uint64 // less than an Ethernet header
	TooLarge uint64 // beyond the MTU, cut by GSO or not; Rx: beyond the reader's buffers
	Offload  uint64 // an offload header that is malformed or not supported
	Down     uint64 // the interface was down; Rx: a pipe's end ended with frames unread
	Error    uint64 // anything else the operating system reported
}

// Total is the sum of all causes.
func (d Drops) Total() uint64 {
	return d.Full + d.TooShort + d.TooLarge + d.Offload + d.Down + d.Error
}

// Config describes a TAP to open.
type Config struct {
	// Name of the interface, at most 15 bytes; "" lets the kernel choose
	// (tap0, tap1, ...). An interface of that name must not exist, unless
	// Adopt is set.
	Name string

	// Adopt takes over the existing TAP of that name, as an administrator
	// made it: it keeps its owner, its addresses and its persistence, and its
	// MTU and queue length unless they are given here. A TAP that a program has
	// open is refused (EBUSY), also one with several queues.
	//
	// Its owner needs no privilege for this, nor does anyone if it has none; but
	// what Open changes takes privilege: to bring the interface up, and what is
	// given here. A persistent TAP stays when the device is closed, with its
	// offloads off again. What else Open has changed stays: addresses, MTU, queue
	// length and MAC that were given, the link up, and the flag vnet_hdr that "ip
	// -d link" shows, which whoever opens the TAP next sets as he needs it.
	Adopt bool

	// MTU is the IP MTU in bytes; 0 means 1500.
	MTU int

	// TxQueueLen is how many frames the kernel keeps for us before it drops;
	// 0 means 4096, which holds the largest window of one connection in small
	// frames (4 MiB); less than 0 leaves the kernel's own. 524288 is the most.
	TxQueueLen int

	// Host are the addresses of the kernel's end. They are set, with the
	// prefix's route, before Open returns. None leaves addresses alone.
	Host []netip.Prefix

	// HardwareAddr is the MAC of the kernel's end; nil leaves the kernel's
	// own choice. (The stack's end has its own: see package stack.)
	HardwareAddr net.HardwareAddr

	// KeepDown leaves the interface down; by default Open brings it up.
	KeepDown bool

	// Queues is the number of queues; 0 means 1. The kernel keeps each flow
	// on one of them.
	Queues int

	// Plain asks for one frame a system call as it would be on a wire, by the
	// portable driver. By default Open takes every offload the kernel has, and
	// falls back to less, and at last to this, where it has none; [Describe]
	// says what came of it.
	Plain bool

	// Without lists offloads not to use though the kernel has them.
	Without Offloads

	// Spin is how long a reader looks again before it sleeps, if frames have
	// been coming that fast: up to this much CPU time for each pause in the
	// traffic, against 30 to 60 us of latency. 0 means 100 us, less than 0 never
	// spins, and 100 ms is the most.
	Spin time.Duration
}

// Description says what a device turned out to be.
type Description struct {
	// Driver is "offload" (a TAP with virtio-net headers), "plain" (a TAP
	// without, by package water) or "pipe".
	Driver string
	// Note is why it is not more than that, empty if there is no more.
	Note string
	// Offloads and Queues are what is active.
	Offloads Offloads
	Queues   int
}

// Describe asks a device, or the device it is wrapped around, what it is.
func Describe(d Device) Description {
	if v, ok := find[interface{ Describe() Description }](d); ok {
		return v.Describe()
	}
	return Description{Driver: "unknown", Offloads: d.Offloads(), Queues: len(d.Queues())}
}
