package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"tapstack/testdata/compat/world"
)

// grpcBytes is what each streaming call moves.
const grpcBytes = 1 << 20

// grpcClient is a service's client, and the server that may be stopped.
type grpcClient struct {
	*grpc.ClientConn
	service *service
	server  *grpc.Server
}

func dialGRPC(t *testing.T, l *world.Link) *grpcClient {
	t.Helper()
	c := &grpcClient{service: &service{hung: make(chan error, 1)}, server: grpc.NewServer(grpc.ForceServerCodec(raw{}))}
	c.server.RegisterService(c.service.desc(), nil)
	ln := l.Listen(t)
	served := make(chan error, 1)
	go func() { served <- c.server.Serve(ln) }()
	t.Cleanup(func() {
		c.server.Stop()
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
	})
	var err error
	c.ClientConn, err = grpc.NewClient("passthrough:///"+ln.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return l.Client.DialContext(ctx, "tcp", addr)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// open begins a call of a streaming method. A first message, if there is one,
// is the only one.
func (c *grpcClient) open(ctx context.Context, t *testing.T, method string, only ...byte) grpc.ClientStream {
	t.Helper()
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/Test/"+method)
	if err != nil {
		t.Fatal(err)
	}
	if only != nil {
		if err := errors.Join(st.SendMsg(&only), st.CloseSend()); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestGRPC(t *testing.T) {
	world.Each(t, func(t *testing.T, l *world.Link) {
		c := dialGRPC(t, l)
		t.Run("unary", c.unary)
		t.Run("client streams", c.clientStreams)
		t.Run("server streams", c.serverStreams)
		t.Run("both stream", c.bothStream)
		t.Run("cancelled", c.cancelled)
		t.Run("out of time", c.outOfTime)
		t.Run("server gone", c.serverGone)
	})
}

func (c *grpcClient) unary(t *testing.T) {
	for _, in := range []string{"", "hello", string(bytes.Repeat([]byte("long "), 100_000))} {
		request, want := []byte(in), bytes.ToUpper([]byte(in))
		var got []byte
		if err := c.Invoke(world.Within(t), "/Test/Upper", &request, &got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes in, %d bytes out, %v", len(in), len(got), err)
		}
	}
}

func (c *grpcClient) clientStreams(t *testing.T) {
	st := c.open(world.Within(t), t, "Digest")
	if _, err := io.CopyBuffer(messages{st}, struct{ io.Reader }{world.Noise(grpcBytes)}, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := errors.Join(st.CloseSend(), st.RecvMsg(&got)); err != nil || string(got) != world.NoiseDigest(grpcBytes) {
		t.Errorf("the server has %s, %v", got, err)
	}
}

func (c *grpcClient) serverStreams(t *testing.T) {
	st := c.open(world.Within(t), t, "Noise", fmt.Append(nil, grpcBytes)...)
	world.WantNoise(t, messages{st}, grpcBytes)
}

// bothStream sends each message only when the one before has come back, and
// then many without waiting.
func (c *grpcClient) bothStream(t *testing.T) {
	st := c.open(world.Within(t), t, "Echo")
	for i := range 50 {
		out := bytes.Repeat([]byte{byte(i)}, i*100)
		var in []byte
		if err := errors.Join(st.SendMsg(&out), st.RecvMsg(&in)); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("message %d: %d bytes came back, %v", i, len(in), err)
		}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(messages{st}, struct{ io.Reader }{world.Noise(grpcBytes)}, make([]byte, 1000))
		sent <- errors.Join(err, st.CloseSend())
	}()
	world.WantNoise(t, messages{st}, grpcBytes)
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func (c *grpcClient) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(world.Within(t))
	defer cancel()
	st := c.open(ctx, t, "Hang", 'x')
	var m []byte
	if err := st.RecvMsg(&m); err != nil {
		t.Fatal(err)
	}
	cancel()
	c.wantEnd(t, st, codes.Canceled)
	if err := <-c.service.hung; !errors.Is(err, context.Canceled) {
		t.Errorf("server: %v", err)
	}
}

func (c *grpcClient) outOfTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/Test/Hang")
	called := false
	if err == nil {
		request := []byte("x")
		_, _ = st.SendMsg(&request), st.CloseSend() // RecvMsg says what went wrong
	}
	for err == nil {
		var m []byte
		if err = st.RecvMsg(&m); err == nil {
			called = true
		}
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("client: %v", err)
	}
	if !called {
		return // a slow machine
	}
	// The server's clock or the client's reset, whichever comes first.
	if err := <-c.service.hung; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		t.Errorf("server: %v", err)
	}
}

// serverGone stops the server under a call.
func (c *grpcClient) serverGone(t *testing.T) {
	st := c.open(world.Within(t), t, "Hang", 'x')
	var m []byte
	if err := st.RecvMsg(&m); err != nil {
		t.Fatal(err)
	}
	c.server.Stop()
	c.wantEnd(t, st, codes.Unavailable)
	<-c.service.hung
}

func (c *grpcClient) wantEnd(t *testing.T, st grpc.ClientStream, want codes.Code) {
	t.Helper()
	var m []byte
	if err := st.RecvMsg(&m); status.Code(err) != want {
		t.Errorf("client: %v, want %v", err, want)
	}
}
