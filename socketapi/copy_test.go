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

// lying says that more is left than there is.
type lying struct{ *bytes.Reader }

func (l lying) Len() int { return l.Reader.Len() + 10 }

// TestReadFromShort: a source that ends before it said is an error, not a hang,
// and what it did give before is sent.
func TestReadFromShort(t *testing.T) {
	a, b := pair(t, nil)
	w, r := connect(t, a, b, b4.Addr())
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if _, err := w.ReadFrom(lying{bytes.NewReader(make([]byte, 100))}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that lies: %v", err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Errorf("and then: %v", err)
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
