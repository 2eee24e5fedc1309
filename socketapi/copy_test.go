package socketapi_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapstack/internal/netns/netnstest"
	"tapstack/socketapi"
)

// TestReadFromAndWriteTo: whatever the source says of its length, the stream is
// the same.
func TestReadFromAndWriteTo(t *testing.T) {
	data := make([]byte, 3<<20+17)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(data)
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a, b := pair(t, nil)
	for _, tc := range []struct {
		name string
		from func(t *testing.T) io.Reader
		want []byte
	}{
		{"memory", func(*testing.T) io.Reader { return bytes.NewReader(data) }, data},
		{"buffer", func(*testing.T) io.Reader { return bytes.NewBuffer(bytes.Clone(data)) }, data},
		{"string", func(*testing.T) io.Reader { return strings.NewReader(string(data)) }, data},
		{"part", func(*testing.T) io.Reader { return io.LimitReader(bytes.NewReader(data), 70_001) }, data[:70_001]},
		{"file", func(*testing.T) io.Reader { _, _ = file.Seek(5, io.SeekStart); return file }, data[5:]},
		{"unknown", func(*testing.T) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }, data},
		{"pipe", func(*testing.T) io.Reader {
			r, w := io.Pipe()
			go func() { _, _ = w.Write(data); _ = w.Close() }()
			return r
		}, data},
		{"a connection", func(t *testing.T) io.Reader {
			from, to := connect(t, b, a, a6.Addr())
			go func() { _, _ = from.Write(data); _ = from.Close() }()
			return to
		}, data},
		{"nothing", func(*testing.T) io.Reader { return bytes.NewReader(nil) }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, r := connect(t, a, b, b4.Addr())
			sent := make(chan error, 1)
			go func() {
				n, err := io.Copy(w, tc.from(t))
				if err == nil && n != int64(len(tc.want)) {
					err = errors.New("short")
				}
				_ = w.Close()
				sent <- err
			}()
			h := sha256.New()
			if n, err := r.WriteTo(h); err != nil || n != int64(len(tc.want)) {
				t.Fatalf("%d of %d bytes: %v", n, len(tc.want), err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if want := sha256.Sum256(tc.want); !bytes.Equal(h.Sum(nil), want[:]) {
				t.Error("other bytes")
			}
		})
	}
}

// queue says how much it holds now, and gives more.
type queue struct {
	*bytes.Reader
	then []byte
}

func (q *queue) Read(p []byte) (int, error) {
	if q.Len() == 0 && len(q.then) > 0 {
		q.Reset(q.then)
		q.then = nil
	}
	return q.Reader.Read(p)
}

// failing gives data and then an error.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

// TestReadFromReadsToTheEnd: a source is read until it says that it has ended,
// whatever its length was thought to be, and what it gave before an error
// arrives.
func TestReadFromReadsToTheEnd(t *testing.T) {
	a, b := pair(t, nil)
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		from func(t *testing.T) io.Reader
		want string
		err  error
	}{
		{"a method Len of another meaning", func(*testing.T) io.Reader {
			return &queue{bytes.NewReader([]byte("ab")), []byte("cd")}
		}, "abcd", nil},
		{"an error", func(*testing.T) io.Reader { return failing{strings.NewReader("abc"), broken} }, "abc", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, r := connect(t, a, b, b4.Addr())
			n, err := w.ReadFrom(tc.from(t))
			if !errors.Is(err, tc.err) || n != int64(len(tc.want)) {
				t.Errorf("%d bytes: %v", n, err)
			}
			_ = w.Close()
			if got, err := io.ReadAll(r); err != nil || string(got) != tc.want {
				t.Errorf("%q: %v", got, err)
			}
		})
	}
}

// TestReadFromMadeUpFile: files of the kernel's may say that they are larger
// than they are.
func TestReadFromMadeUpFile(t *testing.T) {
	const name = "/sys/class/net/lo/mtu"
	want, err := os.ReadFile(name)
	if err != nil {
		netnstest.Skip(t, err)
	}
	a, b := pair(t, nil)
	for _, limit := range []int64{1 << 20, 2} {
		w, r := connect(t, a, b, b4.Addr())
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		want := want[:min(int64(len(want)), limit)]
		if n, err := w.ReadFrom(io.LimitReader(f, limit)); err != nil || n != int64(len(want)) {
			t.Errorf("%d bytes: %v", n, err)
		}
		_ = w.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q and not %q: %v", got, want, err)
		}
	}
}

// oneByte takes one byte of each Write and says nothing of the others.
type oneByte struct{}

func (oneByte) Write([]byte) (int, error) { return 1, nil }

// TestWriteToShort: a writer that takes less than it is given ends the copy, of
// one segment and of several.
func TestWriteToShort(t *testing.T) {
	a, b := pair(t, nil)
	for _, segments := range []int{1, 5} {
		w, r := connect(t, a, b, b4.Addr())
		for range segments {
			if _, err := w.Write(make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
			if err := w.WaitAcked(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := r.WriteTo(oneByte{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%d segments: %d bytes: %v", segments, n, err)
		}
	}
}

// liar is a writer that says to have written so many bytes.
type liar int

func (n liar) Write([]byte) (int, error) { return int(n), nil }

// TestWriteToLiar: a writer whose count cannot be true ends the copy, as in
// io.Copy.
func TestWriteToLiar(t *testing.T) {
	a, b := pair(t, nil)
	for _, n := range []liar{-1, 3000} {
		w, r := connect(t, a, b, b4.Addr())
		write(t, w, 5)
		_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
		done, err := r.WriteTo(n)
		if done != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d of 5 bytes: %d, %v", int(n), done, err)
		}
	}
}

// TestNilStack: whoever lists the sockets of no stack finds none.
func TestNilStack(t *testing.T) {
	c := socketapi.NewCensus(nil)
	c.Count()
	streams, datagrams := c.Look()
	n := len(streams) + len(datagrams) + len(socketapi.TCPSockets(nil)) + len(socketapi.GlanceTCP(nil)) + len(socketapi.UDPSockets(nil))
	if n != 0 {
		t.Errorf("%d sockets", n)
	}
}

// TestReadFromAfterMore: what MsgMore has held back leaves with what ReadFrom
// sends, as with sendfile(2).
func TestReadFromAfterMore(t *testing.T) {
	a, b := pair(t, nil)
	w, _ := connect(t, a, b, b4.Addr())
	so := w.Socket()
	if _, err := so.Send([]byte("head"), socketapi.MsgMore); err != nil {
		t.Fatal(err)
	}
	if u := w.SendBuffer().Unsent; u != 4 {
		t.Errorf("%d unsent after MsgMore", u)
	}
	if v, err := so.Option(socketapi.TCP_CORK); v != 0 || err != nil {
		t.Errorf("TCP_CORK is %d: %v", v, err)
	}
	if _, err := w.ReadFrom(strings.NewReader("tail")); err != nil {
		t.Fatal(err)
	}
	if u := w.SendBuffer().Unsent; u != 0 {
		t.Errorf("%d unsent after ReadFrom", u)
	}
}

// TestCorkOutlivesMore: a TCP_CORK that the application sets after MsgMore is
// the application's.
func TestCorkOutlivesMore(t *testing.T) {
	a, b := pair(t, nil)
	w, _ := connect(t, a, b, b4.Addr())
	so := w.Socket()
	for i, step := range []struct {
		do   func() error
		held bool
	}{
		{func() error { _, err := so.Send([]byte("x"), socketapi.MsgMore); return err }, true},
		{func() error { return so.SetOption(socketapi.TCP_CORK, 1) }, true},
		{func() error { _, err := so.Send([]byte("y"), 0); return err }, true},
		{func() error { return so.SetOption(socketapi.TCP_CORK, 0) }, false},
		{func() error { _, err := so.Send([]byte("z"), socketapi.MsgMore); return err }, true},
		{func() error { return so.SetOption(socketapi.TCP_CORK, 0) }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if u := w.SendBuffer().Unsent; (u > 0) != step.held {
			t.Errorf("step %d: %d unsent", i, u)
		}
	}
}

// TestChunks: borrowed bytes stay what they are until they are released, in
// whatever order that happens, the connection closed or not.
func TestChunks(t *testing.T) {
	a, b := pair(t, nil)
	w, r := connect(t, a, b, b6.Addr())
	data := make([]byte, 256<<10)
	rnd := rand.NewChaCha8([32]byte{2})
	_, _ = rnd.Read(data)
	go func() { _, _ = w.Write(data); _ = w.Close() }()
	var chunks []socketapi.Chunk
	for {
		c, err := r.ReadChunk(10_000)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.Len() == 0 || c.Len() > 10_000 {
			t.Fatalf("a chunk of %d", c.Len())
		}
		chunks = append(chunks, c)
	}
	_ = r.Close()
	var got []byte
	for _, c := range chunks {
		for _, s := range c.Slices() {
			got = append(got, s...)
		}
	}
	rand.New(rnd).Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
	for _, c := range chunks {
		c.Release()
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes, or others than were sent", len(got))
	}
}

// TestSlowWriterHoldsBackTheSource: bytes that the destination does not take
// stay in the receive buffer of a connection that is copied from.
func TestSlowWriterHoldsBackTheSource(t *testing.T) {
	a, b := pair(t, fixed())
	w, r := connect(t, a, b, b4.Addr())
	from, to := connect(t, b, a, a4.Addr()) // from copies to nobody who reads
	done := make(chan struct{})
	go func() { defer close(done); _, _ = r.WriteTo(from) }()
	writeUntilFull(t, w)
	if rcv := r.ReceiveBuffer(); rcv.Window >= rcv.Size/2 {
		t.Errorf("the source is not held back: %+v", rcv)
	}
	_ = to.Close() // unread: a reset
	<-done
}
