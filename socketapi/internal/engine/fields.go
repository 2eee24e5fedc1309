package engine

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"gvisor.dev/gvisor/pkg/atomicbitops"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// field is where a T lies in a struct of gVisor's: its offset in bytes.
type field[T any] uintptr

// in is the field of the struct at p.
func (f field[T]) in(p unsafe.Pointer) *T { return (*T)(unsafe.Add(p, uintptr(f))) }

// Where things lie. Exported structs that are fields of unexported ones are
// taken whole: the compiler checks what is used of them.
var (
	endpointType              = reflect.TypeFor[tcp.Endpoint]()
	sndField, senderType      = pointerTo(endpointType, "snd")
	rcvField, receiverType    = pointerTo(endpointType, "rcv")
	rcvHeadField, segmentType = pointerTo(endpointType, "rcvQueue", "head")

	scoreboardField, scoreboardType = pointerTo(endpointType, "scoreboard")

	probeField     = fieldOf[tcp.TCPProbeFunc](endpointType, "probe")
	sndQueueField  = fieldOf[tcp.TCPSndBufState](endpointType, "sndQueueInfo", "TCPSndBufState")
	rcvMemField    = fieldOf[atomicbitops.Int32](endpointType, "rcvMemUsed")
	ownerField     = fieldOf[tcpip.PacketOwner](endpointType, "owner")
	advMSSField    = fieldOf[uint16](endpointType, "amss")
	hardErrorField = fieldOf[tcpip.Error](endpointType, "hardError")
	recoveryField  = fieldOf[tcpip.TCPRecovery](endpointType, "tcpRecovery")
	gsoField       = fieldOf[stack.GSO](endpointType, "gso")

	senderField    = fieldOf[tcp.TCPSenderState](senderType, "TCPSenderState")
	finSentField   = fieldOf[bool](senderType, "finSent")
	ccStateField   = fieldOf[tcpip.CongestionControlState](senderType, "state")
	probingField   = fieldOf[bool](senderType, "zeroWindowProbing")
	probesField    = fieldOf[uint32](senderType, "unackZeroWindowProbes")
	reorderedField = fieldOf[bool](senderType, "rc", "TCPRACKState", "Reord")
	minRTTField    = fieldOf[time.Duration](senderType, "rc", "minRTT")

	receiverField     = fieldOf[tcp.TCPReceiverState](receiverType, "TCPReceiverState")
	rcvWndField       = fieldOf[seqnum.Size](receiverType, "rcvWnd")
	rcvWUPField       = fieldOf[seqnum.Value](receiverType, "rcvWUP")
	rcvFinField       = fieldOf[bool](receiverType, "closed")
	lastReceivedField = fieldOf[tcpip.MonotonicTime](receiverType, "lastRcvdAckTime")

	smssField   = fieldOf[uint16](scoreboardType, "smss")
	packetField = fieldOf[*stack.PacketBuffer](segmentType, "pkt")
)

// fieldOf finds the field of type T that path leads to from base, through
// structs and not through pointers. It panics if there is none: the package's
// variables then keep the program from starting.
func fieldOf[T any](base reflect.Type, path ...string) field[T] {
	t, offset := walk(base, path)
	if want := reflect.TypeFor[T](); t != want {
		panic(noField(base, path, fmt.Sprintf("of type %v, it is a %v", want, t)))
	}
	return field[T](offset)
}

// pointerTo finds a field that points to a struct, and the struct's type.
func pointerTo(base reflect.Type, path ...string) (field[unsafe.Pointer], reflect.Type) {
	t, offset := walk(base, path)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		panic(noField(base, path, fmt.Sprintf("that points to a struct, it is a %v", t)))
	}
	return field[unsafe.Pointer](offset), t.Elem()
}

// walk is the type and the offset in base of the field that path leads to.
func walk(base reflect.Type, path []string) (reflect.Type, uintptr) {
	t, offset := base, uintptr(0)
	for _, name := range path {
		if t.Kind() != reflect.Struct {
			panic(noField(base, path, ""))
		}
		f, ok := t.FieldByName(name)
		// More than one index: promoted, perhaps through a pointer.
		if !ok || len(f.Index) != 1 {
			panic(noField(base, path, ""))
		}
		t, offset = f.Type, offset+f.Offset
	}
	return t, offset
}

func noField(base reflect.Type, path []string, detail string) string {
	return strings.TrimSpace(fmt.Sprintf(
		"engine: this version of gvisor.dev/gvisor has no field %s in %v %s", strings.Join(path, "."), base, detail)) +
		": use the version in tapstack's go.mod"
}
