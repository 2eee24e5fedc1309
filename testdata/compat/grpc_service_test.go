package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"

	"tapstack/testdata/compat/world"
)

// raw is a codec whose messages are byte slices: what is to be seen is the
// transport, not the encoding.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// service is one method of each kind, and one that never answers.
type service struct {
	hung chan error // what ended each call of Hang
}

func (s *service) desc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "Test",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Upper", Handler: s.upper}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Digest", Handler: s.digest, ClientStreams: true},
			{StreamName: "Noise", Handler: s.noise, ServerStreams: true},
			{StreamName: "Echo", Handler: s.echo, ClientStreams: true, ServerStreams: true},
			{StreamName: "Hang", Handler: s.hang, ServerStreams: true},
		},
	}
}

// upper answers with the request in capitals.
//
//nolint:revive // gRPC's order of parameters
func (s *service) upper(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in []byte
	if err := decode(&in); err != nil {
		return nil, err
	}
	out := bytes.ToUpper(in)
	return &out, nil
}

// digest answers with the digest of all that it is sent.
func (s *service) digest(_ any, st grpc.ServerStream) error {
	d, err := world.Digest(messages{st})
	if err != nil {
		return err
	}
	out := []byte(d)
	return st.SendMsg(&out)
}

// noise sends as many bytes of noise as the request says.
func (s *service) noise(_ any, st grpc.ServerStream) error {
	var in []byte
	if err := st.RecvMsg(&in); err != nil {
		return err
	}
	var n int64
	if _, err := fmt.Fscan(strings.NewReader(string(in)), &n); err != nil {
		return err
	}
	_, err := io.CopyBuffer(messages{st}, struct{ io.Reader }{world.Noise(n)}, make([]byte, 50_000))
	return err
}

// echo sends back each message as it comes.
func (s *service) echo(_ any, st grpc.ServerStream) error {
	for {
		var m []byte
		if err := st.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := st.SendMsg(&m); err != nil {
			return err
		}
	}
}

// hang sends one message and waits until the call is ended.
func (s *service) hang(_ any, st grpc.ServerStream) error {
	var m []byte
	if err := st.RecvMsg(&m); err != nil {
		return err
	}
	if err := st.SendMsg(&m); err != nil {
		return err
	}
	<-st.Context().Done()
	s.hung <- st.Context().Err()
	return st.Context().Err()
}

// messages is a stream of messages as a stream of bytes.
type messages struct {
	st interface {
		SendMsg(any) error
		RecvMsg(any) error
	}
}

func (m messages) Write(p []byte) (int, error) {
	p = bytes.Clone(p) // gRPC keeps it
	return len(p), m.st.SendMsg(&p)
}

// Read returns one message; p has to be large enough.
func (m messages) Read(p []byte) (int, error) {
	var b []byte
	if err := m.st.RecvMsg(&b); err != nil {
		return 0, err
	}
	if len(b) > len(p) {
		return 0, io.ErrShortBuffer
	}
	return copy(p, b), nil
}
