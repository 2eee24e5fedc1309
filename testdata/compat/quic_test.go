package compat

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"tapstack/testdata/compat/world"
)

// quicBytes is what TestQUIC moves in each world: "make contract" says 100 MB.
var quicBytes = flag.Int64("quic", 1_000_000, "bytes that TestQUIC moves in each world")

// TestQUIC100MB is TestQUIC's bulk transfer at its full length, in one world.
func TestQUIC100MB(t *testing.T) {
	client, server := connectQUIC(t, world.One(t))
	quicBulk(t, client, server, 100_000_000)
}

func TestQUIC(t *testing.T) {
	// What it misses in a socket, it says once per process: "connection
	// doesn't allow setting of receive buffer size".
	log.SetOutput(t.Output())
	defer log.SetOutput(os.Stderr)
	world.Each(t, func(t *testing.T, l *world.Link) {
		client, server := connectQUIC(t, l)
		t.Run("bulk", func(t *testing.T) { quicBulk(t, client, server, *quicBytes) })
		t.Run("many streams", func(t *testing.T) { quicStreams(t, client, server) })
		t.Run("closed", func(t *testing.T) {
			if err := client.CloseWithError(42, "enough"); err != nil {
				t.Error(err)
			}
			_, err := server.AcceptStream(world.Within(t))
			var ae *quic.ApplicationError
			if !errors.As(err, &ae) || ae.ErrorCode != 42 || ae.ErrorMessage != "enough" || !ae.Remote {
				t.Errorf("server: %v", err)
			}
		})
	})
}

// connectQUIC makes a connection between two UDP sockets of the link.
func connectQUIC(t *testing.T, l *world.Link) (client, server *quic.Conn) {
	t.Helper()
	cert := world.NewCert(t)
	tlsServer, tlsClient := cert.Server.Clone(), cert.Client.Clone()
	tlsServer.NextProtos, tlsClient.NextProtos = []string{"test"}, []string{"test"}
	near, far := quicTransport(t, l.Server), quicTransport(t, l.Client)
	ln, err := near.Listen(tlsServer, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	if client, err = far.Dial(world.Within(t), ln.Addr(), tlsClient, nil); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(world.Within(t)); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func quicTransport(t *testing.T, h world.Host) *quic.Transport {
	t.Helper()
	pc, err := h.ListenPacket()
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: pc}
	t.Cleanup(func() {
		// The transport leaves a socket that it was given open.
		if err := errors.Join(tr.Close(), pc.Close()); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// quicBulk moves bytes on one stream from the client to the server.
func quicBulk(t *testing.T, client, server *quic.Conn, n int64) {
	// A hang is a failure: 1 MB/s is far below any path.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(n)*time.Microsecond)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		st, err := client.OpenUniStreamSync(ctx)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { st.CancelWrite(0) })
			defer stop()
			_, err = io.Copy(st, world.Noise(n))
			err = errors.Join(err, st.Close())
		}
		sent <- err
	}()
	st, err := server.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { st.CancelRead(0) })
	defer stop()
	world.WantNoise(t, st, n)
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// quicStreams echoes on many streams at once, opened by the server.
func quicStreams(t *testing.T, client, server *quic.Conn) {
	const streams, n = 20, 50_000
	ctx, cancel := context.WithCancel(world.Within(t))
	echo := make(chan bool)
	go func() {
		defer close(echo)
		var all sync.WaitGroup
		defer all.Wait()
		for {
			st, err := client.AcceptStream(ctx)
			if err != nil {
				return
			}
			all.Go(func() { _, _ = io.Copy(st, st); _ = st.Close() })
		}
	}()
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			st, err := server.OpenStreamSync(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			go func() { _, _ = io.Copy(st, world.Noise(n)); _ = st.Close() }()
			world.WantNoise(t, st, n)
		})
	}
	all.Wait()
	cancel()
	<-echo
}
