package capture

import (
	"fmt"
	"time"

	"tapstack/tap"
)

// Config describes a capture. The zero value is a good one.
type Config struct {
	// SnapLen is how many bytes of a frame are kept; 0 means 262144, which
	// is what tcpdump has, and more than any frame.
	SnapLen int

	// MaxBytes ends the capture before the file grows beyond it, the
	// statistics at its end included; 0 means no limit.
	MaxBytes int64

	// MaxFrames ends the capture when that many are in the file; 0 means no
	// limit.
	MaxFrames uint64

	// BufferSize is how many bytes of frames wait for the file; 0 means
	// 4 MiB, and 1 GiB is the most. A frame takes a multiple of 256 bytes. The memory is there while
	// the capture runs, and a quarter more for bookkeeping.
	BufferSize int

	// Direction is Inbound or Outbound to record only such frames;
	// AnyDirection, the zero value, records both.
	Direction Direction

	// Filter says which frames to record; nil means all. It gets what SnapLen
	// leaves of the frame, and must neither keep nor change it. The capture's
	// own goroutine calls it, so it may take its time: what suffers is the
	// capture, not the stack.
	Filter func(frame []byte) bool

	// Now is the clock that frames are stamped with, one that counts from
	// 1970; nil means time.Now. It is called for each frame by whoever reads
	// or writes the device, concurrently.
	Now func() time.Time
}

const (
	defaultSnapLen    = 262144 // tcpdump's, and libpcap's MAXIMUM_SNAPLEN
	defaultBufferSize = 4 << 20

	// maxBufferSize is several seconds of what a TAP can carry, and fits an
	// int of 32 bits together with the bookkeeping.
	maxBufferSize = 1 << 30
)

// Validate reports the first thing in c that no capture can have, in one line.
func (c *Config) Validate() error {
	d := c.withDefaults()
	switch {
	case c.SnapLen < 0 || c.SnapLen > defaultSnapLen:
		return fmt.Errorf("snap length %d: choose 1 to %d, or 0 for the default", c.SnapLen, defaultSnapLen)
	case c.MaxBytes < 0:
		return fmt.Errorf("a file of %d bytes: choose a larger one, or 0 for no limit", c.MaxBytes)
	case c.Direction > Outbound:
		return fmt.Errorf("%v: choose inbound, outbound, or any", c.Direction)
	case d.BufferSize > maxBufferSize:
		return fmt.Errorf("a buffer of %d bytes is more than can be meant: choose at most %d", c.BufferSize, maxBufferSize)
	case d.BufferSize < minRing(d.recordLen()):
		return fmt.Errorf("a buffer of %d bytes is too small for frames of %d: choose at least %d, or a lower snap length",
			c.BufferSize, d.recordLen(), minRing(d.recordLen()))
	}
	return nil
}

// withDefaults is c, which may be nil, with the defaults filled in.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.SnapLen == 0 {
		d.SnapLen = defaultSnapLen
	}
	if d.BufferSize == 0 {
		d.BufferSize = defaultBufferSize
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// recordLen is the most that is kept of a frame, in bytes: a writer may offer
// any length, but no device takes more than a MaxFrame.
func (c *Config) recordLen() int { return min(c.SnapLen, tap.MaxFrame) }

// Direction is which way a frame passed a device, as seen from the program.
type Direction uint8

// Directions.
const (
	AnyDirection Direction = iota // in a Frame: the file does not say
	Inbound                       // from the device to the program: Queue.Read
	Outbound                      // from the program to the device: Queue.Write
)

// String is the direction as "any", "inbound" or "outbound".
func (d Direction) String() string {
	switch d {
	case AnyDirection:
		return "any"
	case Inbound:
		return "inbound"
	case Outbound:
		return "outbound"
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}
