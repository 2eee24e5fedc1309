package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tapstack/tap"
)

// Frame is a frame from a capture file.
type Frame struct {
	// Time is when it passed, in UTC. It is zero where the file does not say
	// (pcapng's simple packet block).
	Time time.Time
	// Data is what was kept of it. It belongs to the Reader and lasts until
	// the next call of Next.
	Data []byte
	// Length is how many bytes it had, at least len(Data).
	Length int
	// Direction is AnyDirection where the file does not say, as in all of
	// pcap.
	Direction Direction
	// Interface is the name of where it passed, "" where the file has none.
	Interface string
	// Offload is how it was offloaded, if this package recorded it.
	Offload tap.Offload
	// Lost is how many frames just before it the capture had no room for.
	Lost uint64
}

// FormatError is why a capture file cannot be read, or not any further.
type FormatError struct {
	// Offset is where in the file, in bytes, the record or block starts that
	// could not be read.
	Offset int64
	// Err is what is wrong: io.ErrUnexpectedEOF when the file ends in the
	// middle of something, or what the reader given to Open had to say.
	Err error
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("capture file: at byte %d: %v", e.Offset, e.Err)
}

// Unwrap is e.Err.
func (e *FormatError) Unwrap() error { return e.Err }

// Reader reads a capture file, one frame after the other. Whatever the file
// says, it takes no more than a few MiB of memory. One goroutine uses it.
type Reader struct {
	next func() (Frame, error)
	err  error // the end
}

// Open reads the head of a capture file: pcap or pcapng, of either byte order
// and of any resolution, with Ethernet frames. It reads ahead of the frame it
// returns, and never closes r.
//
// The error is a *FormatError, also for a file that is no capture or has
// another link type.
func Open(r io.Reader) (*Reader, error) {
	in := &input{}
	in.buf = bufio.NewReaderSize(&in.countingReader, 64<<10)
	in.r = r
	magic, err := in.buf.Peek(4)
	if err != nil {
		return nil, &FormatError{0, unexpectedEOF(err)}
	}
	var rd Reader
	switch binary.LittleEndian.Uint32(magic) {
	case blockSection:
		rd.next = newPcapng(in)
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1: // micro, nano; each reversed
		rd.next, err = newPcap(in)
	default:
		err = fmt.Errorf("neither pcap nor pcapng: it starts with %x", magic)
		if magic[0] == 0x1f && magic[1] == 0x8b {
			err = errors.New("compressed: decompress it with gzip first")
		}
	}
	if err != nil {
		return nil, &FormatError{0, unexpectedEOF(err)}
	}
	return &rd, nil
}

// Next returns the next frame, and io.EOF after the last. Any other error is
// a *FormatError, and means the same as the end: all frames before it were
// good, and there are no more.
func (r *Reader) Next() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.next()
	if err != nil {
		r.err = err
		return Frame{}, err
	}
	return f, nil
}

// newPcap reads the head of a pcap file.
func newPcap(in *input) (next func() (Frame, error), err error) {
	// The library reads through the buffer it is given, being large enough
	// (bufio.NewReaderSize), and so we know what it has not read yet.
	pr, err := pcapgo.NewReader(in.buf)
	if err != nil {
		return nil, err
	}
	if pr.LinkType() != layers.LinkTypeEthernet {
		return nil, linkTypeError(pr.LinkType())
	}
	// The file's own snap length says how much the library may allocate. Its
	// smallest limit is 262144 bytes, and that is enough for any frame.
	pr.SetSnaplen(0)
	return func() (Frame, error) {
		start := in.offset()
		data, ci, err := pr.ZeroCopyReadPacketData()
		if err != nil {
			if errors.Is(err, io.EOF) && in.offset() == start {
				return Frame{}, io.EOF
			}
			return Frame{}, &FormatError{start, unexpectedEOF(err)}
		}
		return frame(data, ci), nil
	}, nil
}

// newPcapng leaves the head of a pcapng file to the first call of next: it is
// a block like the others.
func newPcapng(in *input) (next func() (Frame, error)) {
	b := &blocks{r: in.buf}
	var ng *pcapgo.NgReader
	return func() (_ Frame, err error) {
		if ng == nil {
			// Link types are checked by blocks, of every interface.
			ng, err = pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		}
		var data []byte
		var ci gopacket.CaptureInfo
		var opts pcapgo.NgPacketOptions
		if err == nil {
			data, ci, opts, err = ng.ZeroCopyReadPacketDataWithOptions()
		}
		if err != nil {
			return Frame{}, b.errorFor(err)
		}
		f := frame(data, ci)
		f.Time = b.time()
		f.setOptions(&opts, b.bigEndian)
		if iface, err := ng.Interface(ci.InterfaceIndex); err == nil {
			f.Interface = iface.Name
		}
		return f, nil
	}
}

func frame(data []byte, ci gopacket.CaptureInfo) Frame {
	return Frame{Time: ci.Timestamp, Data: data, Length: max(ci.Length, len(data))}
}

// setOptions fills in what pcapng says beyond pcap.
func (f *Frame) setOptions(opts *pcapgo.NgPacketOptions, bigEndian bool) {
	if opts.Flags != nil {
		f.Direction = direction(opts.Flags.ToUint32(), bigEndian)
	}
	if opts.DropCount != nil {
		f.Lost = *opts.DropCount
		if bigEndian {
			f.Lost = bits.ReverseBytes64(f.Lost) // see direction
		}
	}
	for _, comment := range opts.Comments {
		if off, ok := parseOffload(comment); ok {
			f.Offload = off
		}
	}
}

// direction is that of epb_flags. pcapgo 1.7.7 takes the options of a frame
// for little-endian whatever the file is; without the reversal frames of a
// big-endian file have no direction. It can go when TestByteOrders fails.
func direction(flags uint32, bigEndian bool) Direction {
	if bigEndian {
		flags = bits.ReverseBytes32(flags)
	}
	switch pcapgo.NgEpbFlag(flags) & pcapgo.NgEpbFlagDirectionMask {
	case pcapgo.NgEpbFlagDirectionInbound:
		return Inbound
	case pcapgo.NgEpbFlagDirectionOutbound:
		return Outbound
	default:
		return AnyDirection
	}
}

func linkTypeError(t layers.LinkType) error {
	return fmt.Errorf("link type %d (%v) is not supported, only %d (Ethernet)", t, t, layers.LinkTypeEthernet)
}

// unexpectedEOF is err for where the file may not end.
func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// input is a buffered file that knows where it is.
type input struct {
	countingReader
	buf *bufio.Reader
}

func (in *input) offset() int64 { return in.n - int64(in.buf.Buffered()) }

type countingReader struct {
	r io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	return n, err
}
