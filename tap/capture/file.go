package capture

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// file is a pcapng file being written: a section header, one interface, the
// frames, the interface's statistics. One goroutine uses it.
//
// The library (pcapgo 1.7.7) allocates for each frame that it writes: 68 bytes
// for its options, more with a comment. It does so on the capture's goroutine;
// the data path allocates nothing.
type file struct {
	w        countingWriter
	buf      *bufio.Writer
	ng       *pcapgo.NgWriter
	maxBytes int64

	off     offloadComment
	comment [1]string
	flags   [3]pcapgo.NgEpbFlags // of each Direction
}

// fileBuffer is how much is written at once.
const fileBuffer = 64 << 10

// newFile writes the file's head to w.
func newFile(w io.Writer, iface string, snapLen int, maxBytes int64) (*file, error) {
	f := &file{w: countingWriter{w: w}, maxBytes: maxBytes}
	f.buf = bufio.NewWriterSize(&f.w, fileBuffer)
	f.flags[Inbound].Direction = pcapgo.NgEpbFlagDirectionInbound
	f.flags[Outbound].Direction = pcapgo.NgEpbFlagDirectionOutbound

	// The library's own buffer is the one it is given, being large enough
	// (bufio.NewWriterSize), and so we know what is in it.
	var err error
	f.ng, err = pcapgo.NewNgWriterInterface(f.buf,
		pcapgo.NgInterface{
			Name:       iface,
			OS:         runtime.GOOS,
			LinkType:   layers.LinkTypeEthernet,
			SnapLength: uint32(snapLen),
		},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
			Hardware:    runtime.GOARCH,
			OS:          runtime.GOOS,
			Application: "tapstack",
		}})
	if err != nil {
		return nil, err
	}
	if least := f.len() + statsLen; maxBytes != 0 && maxBytes < least {
		return nil, fmt.Errorf("a file of %d bytes has no room for a frame: choose more than %d", maxBytes, least)
	}
	return f, f.flush()
}

// Lengths of blocks, in bytes (pcapng, 4.3 and 4.6).
const (
	endOfOptsLen = 4
	flagsOptLen  = 4 + 4
	uint64OptLen = 4 + 8
	statsLen     = 24 + 4*uint64OptLen + endOfOptsLen
)

// frameLen is the length of an enhanced packet block for n bytes.
func frameLen(n int, lost uint64, comment string) int64 {
	size := 32 + pad4(n) + flagsOptLen + endOfOptsLen
	if lost != 0 {
		size += uint64OptLen
	}
	if comment != "" {
		size += 4 + pad4(len(comment))
	}
	return int64(size)
}

func pad4(n int) int { return (n + 3) &^ 3 }

// write adds a frame. Its error is errLimit when the file has no room for it.
func (f *file) write(rec *record, data []byte) error {
	opts := pcapgo.NgPacketOptions{Flags: &f.flags[rec.dir]}
	if rec.lost != 0 {
		opts.DropCount = &rec.lost
	}
	f.comment[0] = f.off.of(rec.off)
	if f.comment[0] != "" {
		opts.Comments = f.comment[:]
	}
	if f.maxBytes != 0 && f.len()+frameLen(len(data), rec.lost, f.comment[0])+statsLen > f.maxBytes {
		return errLimit
	}
	return f.ng.WritePacketWithOptions(gopacket.CaptureInfo{
		Timestamp:     time.Unix(0, rec.nanos),
		CaptureLength: len(data),
		Length:        rec.length,
	}, data, opts)
}

// finish adds the interface's statistics: the file is complete.
func (f *file) finish(s *Stats) error {
	err := f.ng.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
		LastUpdate:      s.End,
		StartTime:       s.Start,
		EndTime:         s.End,
		PacketsReceived: s.Received,
		PacketsDropped:  s.Dropped,
	})
	if err != nil {
		return err
	}
	return f.flush()
}

func (f *file) flush() error { return f.buf.Flush() }

// len is the file's length in bytes, with what is yet to be flushed.
func (f *file) len() int64 { return f.w.n + int64(f.buf.Buffered()) }

type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}
