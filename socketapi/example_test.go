package socketapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"time"

	"tapstack/socketapi"
	"tapstack/stack"
	"tapstack/tap"
)

// Two stacks on the two ends of a cable in memory. A TAP (tap.Open) in place of
// one end gives sockets that the kernel reaches.
func twoHosts() (client, server *stack.Stack) {
	one, other := tap.Pipe(nil)
	return oneHost(one, "192.0.2.1/24"), oneHost(other, "192.0.2.2/24")
}

func oneHost(dev tap.Device, address string) *stack.Stack {
	s := must(stack.New(nil))
	must(s.AddNIC(dev, &stack.NICConfig{Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}))
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// oneConnection is a connection between two hosts, both its ends.
func oneConnection(client, server *stack.Stack) (c, s *socketapi.TCPConn) {
	l := must(socketapi.Listen(server, "tcp", ":7"))
	defer l.Close()
	d := &socketapi.Dialer{Stack: client}
	c = must(d.Dial("tcp", "192.0.2.2:7")).(*socketapi.TCPConn)
	return c, must(l.AcceptTCP())
}

// A web server in one stack, and a client in the other.
func Example_http() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()

	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.URL.Path[1:])
	})}
	l := must(socketapi.Listen(there, "tcp", ":80"))
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	dialer := &socketapi.Dialer{Stack: here}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	defer client.CloseIdleConnections()

	resp, err := client.Get("http://192.0.2.2/gopher")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	fmt.Printf("%s\n", must(io.ReadAll(resp.Body)))
	// Output:
	// 200 OK
	// hello, gopher
}

// A detector of slow readers: what was written is not acknowledged for some time,
// and why is in the send buffer. The peer's window is closed when its receive
// buffer is full, because its application does not read.
func ExampleTCPConn_Buffers() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	w, r := oneConnection(here, there)
	defer w.Close()
	defer r.Close()

	slow := func(patience time.Duration) string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		switch err := w.WaitAcked(ctx); {
		case err == nil:
			return "nobody: the peer has it all"
		case !errors.Is(err, os.ErrDeadlineExceeded):
			log.Fatal(err)
		}
		if snd := w.SendBuffer(); snd.Window == 0 {
			return "the peer's application: it does not read"
		}
		return "the network: bytes are on their way"
	}
	size := r.ReceiveBuffer().Size
	must(w.Write(make([]byte, size+1000)))
	fmt.Println(slow(500 * time.Millisecond))

	must(io.CopyN(io.Discard, r, int64(size+1000)))
	fmt.Println(slow(time.Minute))
	// Output:
	// the peer's application: it does not read
	// nobody: the peer has it all
}

// A writer that decides late: with a low-water mark next to nothing waits in the
// send buffer unsent, so what is written next is what is sent next.
func ExampleTCPConn_SetWriteLowWater() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	w, r := oneConnection(here, there)
	defer w.Close()
	defer r.Close()
	go func() { _, _ = io.Copy(io.Discard, r) }()

	const mark, frame = 4 << 10, 1 << 10
	if err := w.SetWriteLowWater(mark); err != nil {
		log.Fatal(err)
	}
	most := 0
	for range 1000 {
		// Wait first, then make the freshest frame there is, then write it.
		if err := w.WaitWritable(context.Background()); err != nil {
			log.Fatal(err)
		}
		must(w.Write(make([]byte, frame)))
		most = max(most, w.SendBuffer().Unsent)
	}
	fmt.Println("never more unsent than the mark and a frame:", most < mark+frame)
	// Output:
	// never more unsent than the mark and a frame: true
}

// A nil error from Write means that the bytes are in our send buffer. That they
// are in the peer's receive buffer is another question.
func ExampleTCPConn_WaitAcked() {
	here, there := twoHosts()
	defer here.Close()
	defer there.Close()
	w, r := oneConnection(here, there)
	defer w.Close()
	defer r.Close()

	must(w.Write([]byte("important")))
	if err := w.WaitAcked(context.Background()); err != nil {
		log.Fatal(err) // ECONNRESET, ETIMEDOUT, ...: perhaps it never arrived
	}
	fmt.Println("ours, unacknowledged:", w.SendBuffer().Queued)
	fmt.Println("theirs, unread:", r.ReceiveBuffer().Queued)
	// Output:
	// ours, unacknowledged: 0
	// theirs, unread: 9
}
