package tap

import "time"

// writeWait is how long a writer waits for a full device. Longer than the
// other side may be kept from running (a scheduler's tick or two), so that a
// burst is slowed down and not lost; far shorter than TCP's smallest
// retransmission timeout (200 ms), so that waiting is never taken for loss;
// and short, because a network stack may hold a connection's lock meanwhile.
const writeWait = 10 * time.Millisecond

// length is the number of bytes in bufs.
func length(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// scatter copies frame over bufs, which hold it.
func scatter(bufs [][]byte, frame []byte) {
	for _, b := range bufs {
		if len(frame) == 0 {
			return
		}
		frame = frame[copy(b, frame):]
	}
}

// gather copies bufs into frame, which is as long as they are.
func gather(frame []byte, bufs [][]byte) {
	for _, b := range bufs {
		frame = frame[copy(frame, b):]
	}
}
