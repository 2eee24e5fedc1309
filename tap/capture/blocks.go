package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket/layers"
)

// blocks stands between a pcapng file and the library. The library believes
// the lengths in a file: one that is wrong makes it read the next block as
// options of this one, or keep what nobody asked for. So blocks lets through,
// whole and one at a time, only blocks that it has checked and that matter
// here, and knows where in the file each of them starts.
//
// Numbers in comments are sections of the pcapng draft
// (draft-ietf-opsawg-pcapng).
type blocks struct {
	r     *bufio.Reader
	start int64  // of the current block, in bytes
	end   int64  // and where the one after it starts
	block []byte // the current block
	rest  []byte // of it, not yet read
	err   error

	// Of the current section:
	bigEndian  bool
	order      binary.ByteOrder // nil before the first
	clocks     []clock          // of its interfaces
	ifaceBytes int              // of their blocks
	snapLen    uint32           // of the first
}

// Block types (4 and 11.1).
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = 0x0a0d0d0a // the same in both byte orders
)

// Limits, in bytes, on what the file may have us keep.
const (
	maxBlock      = 1 << 20 // a frame, and 12 options of any length
	maxCapture    = defaultSnapLen
	maxInterfaces = 1 << 20 // the descriptions of a section's interfaces together
)

const (
	minBlockLen = 12 // type, length, length again
	trailerLen  = 4
	magicBytes  = 0x1a2b3c4d
)

// Read never goes beyond the current block, so that an error of who reads is
// one of this block.
func (b *blocks) Read(p []byte) (n int, err error) {
	for len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.load()
	}
	n = copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// errorFor is what to say when reading ended with err, ours or the library's,
// which need not have kept ours.
func (b *blocks) errorFor(err error) error {
	if b.err != nil && (b.start != b.end || !errors.Is(b.err, io.EOF)) {
		err = unexpectedEOF(b.err)
	} else if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return &FormatError{b.start, err}
}

// load reads a block. It leaves rest empty when the block does not matter; its
// error is io.EOF, with start equal to end, at the end of the file.
func (b *blocks) load() error {
	b.start = b.end
	if _, err := b.r.Peek(1); err != nil {
		return err
	}
	b.end++ // for errorFor: here the file may not end
	b.block = grow(b.block, minBlockLen)
	if _, err := io.ReadFull(b.r, b.block); err != nil {
		return err
	}
	if err := b.setOrder(); err != nil {
		return err
	}
	kind, length := b.order.Uint32(b.block), b.order.Uint32(b.block[4:])
	if length < minBlockLen || length%4 != 0 {
		return fmt.Errorf("block of type %d with length %d", kind, length)
	}
	b.end = b.start + int64(length)

	switch kind {
	case blockSection, blockInterface, blockPacket, blockSimple, blockEnhanced:
		if length > maxBlock {
			return fmt.Errorf("block of type %d with length %d: the limit is %d", kind, length, maxBlock)
		}
		if err := b.readRest(int(length)); err != nil {
			return err
		}
		if err := b.check(kind); err != nil {
			return fmt.Errorf("block of type %d: %w", kind, err)
		}
		b.rest = b.block
		return nil
	}
	if skip := int64(length) - minBlockLen - trailerLen; skip > 0 {
		if _, err := io.CopyN(io.Discard, b.r, skip); err != nil {
			return err
		}
	}
	return b.readTail(length)
}

// setOrder takes the byte order from a section header.
func (b *blocks) setOrder() error {
	if binary.LittleEndian.Uint32(b.block) != blockSection {
		return nil // Open has seen that the first one is
	}
	switch magic := b.block[8:]; {
	case binary.LittleEndian.Uint32(magic) == magicBytes:
		b.bigEndian, b.order = false, binary.LittleEndian
	case binary.BigEndian.Uint32(magic) == magicBytes:
		b.bigEndian, b.order = true, binary.BigEndian
	default:
		return fmt.Errorf("section with byte-order magic %x", magic)
	}
	return nil
}

// readRest reads what is missing of a block that is kept.
func (b *blocks) readRest(length int) error {
	b.block = grow(b.block, length)
	if _, err := io.ReadFull(b.r, b.block[minBlockLen:]); err != nil {
		return err
	}
	return b.sameLength(b.block[length-trailerLen:], uint32(length))
}

// readTail reads the last bytes of a block that is not.
func (b *blocks) readTail(length uint32) error {
	tail := b.block[minBlockLen-trailerLen : minBlockLen]
	if length > minBlockLen {
		if _, err := io.ReadFull(b.r, tail); err != nil {
			return err
		}
	}
	return b.sameLength(tail, length)
}

func (b *blocks) sameLength(tail []byte, length uint32) error {
	if again := b.order.Uint32(tail); again != length {
		return fmt.Errorf("block with length %d at its start and %d at its end", length, again)
	}
	return nil
}

var errTooShort = errors.New("too short")

// fixedLen is how many bytes a block has before its frame or its options.
var fixedLen = map[uint32]int{
	blockSection: 24, blockInterface: 16, blockSimple: 12, blockPacket: 28, blockEnhanced: 28,
}

// check reports whether the lengths inside the current block agree with its
// own, and takes note of sections and interfaces.
func (b *blocks) check(kind uint32) error {
	body := b.block[:len(b.block)-trailerLen]
	if len(body) < fixedLen[kind] {
		return errTooShort
	}
	options := body[fixedLen[kind]:]
	switch kind {
	case blockSection:
		b.clocks, b.ifaceBytes = b.clocks[:0], 0
	case blockInterface:
		if err := b.addInterface(options); err != nil {
			return err
		}
	case blockSimple:
		n := b.order.Uint32(body[8:])
		if b.snapLen != 0 {
			n = min(n, b.snapLen)
		}
		_, err := b.checkFrame(0, n, options)
		return err
	case blockPacket, blockEnhanced:
		iface := b.order.Uint32(body[8:])
		if kind == blockPacket {
			iface = uint32(b.order.Uint16(body[8:]))
		}
		var err error
		options, err = b.checkFrame(iface, b.order.Uint32(body[20:]), options)
		if err != nil {
			return err
		}
	}
	return b.checkOptions(options)
}

func (b *blocks) addInterface(options []byte) error {
	link := layers.LinkType(b.order.Uint16(b.block[8:]))
	if link != layers.LinkTypeEthernet {
		return linkTypeError(link)
	}
	if len(b.clocks) == 0 {
		b.snapLen = b.order.Uint32(b.block[12:])
	}
	if err := b.checkOptions(options); err != nil {
		return err
	}
	b.clocks = append(b.clocks, b.clock(options))
	b.ifaceBytes += len(b.block)
	if b.ifaceBytes > maxInterfaces {
		return fmt.Errorf("the descriptions of %d interfaces exceed %d bytes", len(b.clocks), maxInterfaces)
	}
	return nil
}

// checkFrame returns what follows the n bytes of a frame.
func (b *blocks) checkFrame(iface, n uint32, body []byte) (options []byte, err error) {
	switch {
	case int64(iface) >= int64(len(b.clocks)):
		return nil, fmt.Errorf("frame of interface %d, there are %d", iface, len(b.clocks))
	case n > maxCapture:
		return nil, fmt.Errorf("frame of %d bytes: the limit is %d", n, maxCapture)
	case pad4(int(n)) > len(body):
		return nil, fmt.Errorf("frame of %d bytes in a block with room for %d", n, len(body))
	}
	return body[pad4(int(n)):], nil
}

// checkOptions: code, length, value, padding; again; end (3.5). All that is
// before them, and each of them, is a multiple of 4 bytes.
func (b *blocks) checkOptions(options []byte) error {
	for len(options) > 0 {
		code, length := b.order.Uint16(options), int(b.order.Uint16(options[2:]))
		if code == 0 {
			return nil
		}
		if 4+pad4(length) > len(options) {
			return fmt.Errorf("option %d of %d bytes, there are %d", code, length, len(options)-4)
		}
		options = options[4+pad4(length):]
	}
	return nil
}

// clock is what the checked options of an interface say.
func (b *blocks) clock(options []byte) clock {
	const resolution, offset = 9, 14
	c := microseconds
	for len(options) > 0 {
		code, length := b.order.Uint16(options), int(b.order.Uint16(options[2:]))
		switch value := options[4:]; {
		case code == 0:
			return c
		case code == resolution && length >= 1:
			c.resolution = value[0]
		case code == offset && length >= 8:
			c.offset = int64(b.order.Uint64(value))
		}
		options = options[4+pad4(length):]
	}
	return c
}

// time is the current block's, which is one of a frame; zero if it has none.
func (b *blocks) time() time.Time {
	switch b.order.Uint32(b.block) {
	case blockPacket, blockEnhanced:
	default:
		return time.Time{}
	}
	iface := b.order.Uint32(b.block[8:])
	if b.order.Uint32(b.block) == blockPacket {
		iface = uint32(b.order.Uint16(b.block[8:]))
	}
	return b.clocks[iface].time(uint64(b.order.Uint32(b.block[12:]))<<32 | uint64(b.order.Uint32(b.block[16:])))
}

// grow is b with n bytes, its first ones kept.
func grow(b []byte, n int) []byte {
	if n > cap(b) {
		b = append(make([]byte, 0, max(n, 4096)), b...)
	}
	return b[:n]
}
