package socketapi

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// What gVisor knows about a connection and does not offer to tell.
//
// gVisor's own way out is tcp.NewProtocolProbe. It allocates a copy of the
// whole state for every segment received on every connection, looked at or
// not, and is silent about what a write or an application's read changed. So
// the fields are read where they are: through reflect, which may read
// unexported fields, under the endpoint's lock, whose LockUser and UnlockUser
// are exported. That costs a connection nothing until someone looks.
//
// A gVisor that has renamed a field is refused when the program starts: a send
// buffer that always reads as empty would be a lie. This file can go when
// gVisor answers SendQueueSizeOption for TCP and tells both windows.

// tcpFields are where the fields lie in a tcp.Endpoint. All are guarded by
// Endpoint.mu for reading: gVisor writes SndBufUsed and RcvBufUsed with mu held
// on top of their own locks.
var tcpFields = struct {
	snd, rcv                          fieldPath
	sndUna, sndNxt, sndWnd, sndQueued fieldPath
	mss                               fieldPath
	rcvNxt, rcvWnd, rcvWUP, rcvQueued fieldPath
	rcvWndScale, rcvMemory, rcvMSS    fieldPath
	rcvClosed, hardError              fieldPath
	rcvRTT, rcvPending                fieldPath
}{
	snd:         pathTo("snd"),
	rcv:         pathTo("rcv"),
	sndUna:      pathTo("snd", "SndUna"),
	sndNxt:      pathTo("snd", "SndNxt"),
	sndWnd:      pathTo("snd", "SndWnd"),
	mss:         pathTo("snd", "MaxPayloadSize"),
	sndQueued:   pathTo("sndQueueInfo", "SndBufUsed"),
	rcvNxt:      pathTo("rcv", "RcvNxt"),
	rcvWnd:      pathTo("rcv", "rcvWnd"),
	rcvWUP:      pathTo("rcv", "rcvWUP"),
	rcvQueued:   pathTo("RcvBufUsed"),
	rcvWndScale: pathTo("rcv", "RcvWndScale"),
	rcvMemory:   pathTo("rcvMemUsed", "value"),
	rcvMSS:      pathTo("amss"),
	rcvClosed:   pathTo("RcvClosed"),
	hardError:   pathTo("hardError"),
	rcvRTT:      pathTo("RcvAutoParams", "RTT"),
	rcvPending:  pathTo("rcv", "PendingBufUsed"),
}

// fieldPath is the index path of a field of tcp.Endpoint.
type fieldPath []int

// pathTo resolves names one below the other, through pointers and embedding.
// It panics, when the program starts, if there is no such field, or if it is
// neither a number nor, to test for nil, a pointer.
func pathTo(names ...string) fieldPath {
	t := reflect.TypeFor[tcp.Endpoint]()
	var path fieldPath
	for _, name := range names {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		f, ok := t.FieldByName(name)
		if !ok {
			panic(noField(names))
		}
		path = append(path, f.Index...)
		t = f.Type
	}
	switch v := reflect.Zero(t); {
	case v.CanInt(), v.CanUint(), t.Kind() == reflect.Bool, t.Kind() == reflect.Pointer, t == reflect.TypeFor[tcpip.Error]():
	default:
		panic(noField(names))
	}
	return path
}

func noField(names []string) string {
	return fmt.Sprintf("socketapi: this version of gvisor.dev/gvisor has no number %s in tcp.Endpoint: use the version in tapstack's go.mod", strings.Join(names, "."))
}

// isNil reports whether the pointer at p is nil.
func (p fieldPath) isNil(ep reflect.Value) bool { return ep.FieldByIndex(p).IsNil() }

// int reads the number at p. The pointers on the way must not be nil.
func (p fieldPath) int(ep reflect.Value) int {
	f := ep.FieldByIndex(p)
	if f.CanInt() {
		return int(f.Int())
	}
	return int(f.Uint())
}

// seq reads the sequence number at p.
func (p fieldPath) seq(ep reflect.Value) uint32 { return uint32(p.int(ep)) }

// tcpState is one instant of a connection. Before the handshake is over, all
// but state is zero.
type tcpState struct {
	state  State
	failed bool        // ended by an error, not by FINs
	err    tcpip.Error // that error, until somebody was told

	sndUna, sndNxt uint32
	sndWnd         int // what the peer grants from sndUna on
	sndQueued      int // written, not acknowledged
	mss            int // payload of a full segment, options deducted

	rcvNxt    uint32
	rcvWnd    int  // what we have advertised and the peer has not used
	rcvQueued int  // acknowledged, not read
	rcvMSS    int  // payload of a full segment to us, at most
	rcvFull   bool // no memory is left for another segment's bookkeeping
	rcvClosed bool // nothing more will come
}

// readTCP looks at ep under its lock. It may be called at any time, also after
// Close: a closed connection may still be sending what was written.
func readTCP(ep *tcp.Endpoint) tcpState {
	ep.LockUser()
	defer ep.UnlockUser()
	v, f := reflect.ValueOf(ep).Elem(), &tcpFields
	st := tcpState{state: stateOf(ep.EndpointState()), failed: ep.EndpointState() == tcp.StateError}
	st.rcvClosed = v.FieldByIndex(f.rcvClosed).Bool()
	if e := v.FieldByIndex(f.hardError); !e.IsNil() {
		// Unexported, so reflect does not hand it out.
		st.err = *(*tcpip.Error)(e.Addr().UnsafePointer())
	}
	if !f.snd.isNil(v) {
		st.sndUna, st.sndNxt = f.sndUna.seq(v), f.sndNxt.seq(v)
		st.sndWnd = f.sndWnd.int(v)
		st.mss = f.mss.int(v)
		// An acknowledged FIN is subtracted though it was never added
		// (Endpoint.updateSndBufferUsage).
		st.sndQueued = max(0, f.sndQueued.int(v))
	}
	if !f.rcv.isNil(v) {
		st.rcvNxt = f.rcvNxt.seq(v)
		// The window was advertised counting from rcvWUP, without the bits
		// that the scale cuts off; what has arrived since then used some of
		// it, or a little more than all of it (receiver.acceptable).
		scale := f.rcvWndScale.int(v)
		used := int32(st.rcvNxt - f.rcvWUP.seq(v))
		st.rcvWnd = max(0, f.rcvWnd.int(v)>>scale<<scale-int(used))
		st.rcvQueued = f.rcvQueued.int(v)
		st.rcvMSS = f.rcvMSS.int(v)
		// Written without mu when a segment is let go of, hence the atomic.
		memory := (*atomic.Int32)(v.FieldByIndex(f.rcvMemory).Addr().UnsafePointer()).Load()
		st.rcvFull = ep.SocketOptions().GetReceiveBufferSize()-int64(memory) < int64(tcp.SegOverheadSize)
	}
	return st
}

// receiveRTT is the round trip as a receiver sees it, which is 0 until a window's
// worth of bytes has come, with the largest segment that can come.
func receiveRTT(ep *tcp.Endpoint) (rtt time.Duration, mss int) {
	ep.LockUser()
	defer ep.UnlockUser()
	v := reflect.ValueOf(ep).Elem()
	return time.Duration(tcpFields.rcvRTT.int(v)), tcpFields.rcvMSS.int(v)
}

// outOfOrder is the memory of received segments that wait for others before
// them.
func outOfOrder(ep *tcp.Endpoint) int {
	ep.LockUser()
	defer ep.UnlockUser()
	v := reflect.ValueOf(ep).Elem()
	if tcpFields.rcv.isNil(v) {
		return 0
	}
	return tcpFields.rcvPending.int(v)
}

// unsent is what was written and has not been sent. A FIN takes a sequence
// number and no room.
func (st *tcpState) unsent() int {
	return st.sndQueued - min(int(st.sndNxt-st.sndUna), st.sndQueued)
}

// sndOpen reports whether the state takes more to send.
func (st *tcpState) sndOpen() bool { return st.state == Established || st.state == CloseWait }

// open reports whether the connection is one that both ends still have.
func (st *tcpState) open() bool { return !st.failed && st.state > Listening && st.state != TimeWait }
