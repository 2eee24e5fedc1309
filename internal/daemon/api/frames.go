package api

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// A connection to PathConnect is upgraded to frames, in both directions: a
// type, a length of three bytes, big-endian, and that many bytes.
//
//	server: FrameOpen once or not at all, then FrameData..., then FrameEnd or FrameError
//	client: FrameData..., then FrameEnd
//
// Over UDP a FrameData is one datagram.

// FrameType is what a frame means.
type FrameType uint8

// The frames.
const (
	FrameListening FrameType = 1 + iota // JSON of Opened: we wait for the other end
	FrameOpen                           // JSON of Opened: we are connected
	FrameData                           // payload
	FrameEnd                            // no more payload in this direction; empty
	FrameError                          // JSON of Error: it is over
)

// MaxFrame is the longest payload of a frame, in bytes: any datagram fits.
const MaxFrame = 64 << 10

const frameHeader = 4

// Opened is where a connection is.
type Opened struct {
	Local  string `json:"local"`
	Remote string `json:"remote,omitempty"`
}

// FrameWriter writes frames. It is safe for concurrent use.
type FrameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewFrameWriter writes to w, each frame by one call.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{w: w} }

// Write writes one frame, of at most MaxFrame bytes.
func (f *FrameWriter) Write(t FrameType, p []byte) error {
	if len(p) > MaxFrame {
		return fmt.Errorf("a frame of %d bytes: at most %d", len(p), MaxFrame)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = binary.BigEndian.AppendUint32(f.buf[:0], uint32(t)<<24|uint32(len(p)))
	f.buf = append(f.buf, p...)
	_, err := f.w.Write(f.buf)
	return err
}

// ReadFrame reads one frame into buf, of at least MaxFrame bytes, of which the
// payload is a part. io.EOF is an end between two frames, io.ErrUnexpectedEOF
// one within; any other error is the reader's, or says what is wrong with the
// frame.
func ReadFrame(r io.Reader, buf []byte) (FrameType, []byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	v := binary.BigEndian.Uint32(head[:])
	t, n := FrameType(v>>24), int(v&0xffffff)
	switch {
	case t < FrameListening || t > FrameError:
		return 0, nil, fmt.Errorf("frame of unknown type %d", t)
	case n > MaxFrame:
		return 0, nil, fmt.Errorf("frame of %d bytes: at most %d", n, MaxFrame)
	case t == FrameEnd && n != 0:
		return 0, nil, fmt.Errorf("an end with %d bytes of payload", n)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return t, buf[:n], nil
}
