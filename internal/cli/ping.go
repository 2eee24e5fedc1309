package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// Ping are the arguments of tapstack ping, which are those of iputils' ping.
type Ping struct {
	To       string
	Count    int
	Interval time.Duration
	Size     int
	Timeout  time.Duration // for each reply
	V4, V6   bool
	JSON     func(any) error // prints each reply and the summary, nil for text
}

// PingSummary is what a ping came to. Times are in milliseconds.
type PingSummary struct {
	To         string  `json:"to"`
	Sent       int     `json:"sent"`
	Received   int     `json:"received"`
	Duplicates int     `json:"duplicates"`
	Errors     int     `json:"errors"`
	Loss       float64 `json:"loss"` // percent
	Min        float64 `json:"min"`
	Avg        float64 `json:"avg"`
	Max        float64 `json:"max"`
	Mdev       float64 `json:"mdev"`

	sum, squares float64
}

// maxPingSize is what an IPv4 packet of 65,535 bytes has room for.
const maxPingSize = 65_535 - 20 - 8

// Run pings until Count replies or ctx is done, and sums up. Without any reply
// the error is ErrNegative.
func (o *Ping) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	q := &api.PingQuery{To: o.To, Network: "ip", Count: o.Count, Interval: o.Interval, Size: o.Size, Timeout: o.Timeout}
	switch {
	case o.V4 && o.V6:
		return usagef("ping: -4 or -6, not both")
	case o.V4:
		q.Network = "ip4"
	case o.V6:
		q.Network = "ip6"
	}
	a, err := netip.ParseAddr(o.To)
	switch {
	case err == nil && (o.V4 && !a.Is4() || o.V6 && !a.Is6()):
		return usagef("ping: %v is not of the family that was asked for", a)
	case o.Count < 0:
		return usagef("ping: -c %d: want a number of requests", o.Count)
	case o.Size < 0 || o.Size > maxPingSize:
		return usagef("ping: -s %d: want 0 to %d bytes", o.Size, maxPingSize)
	}
	// Of a name it is known with the first reply whether there is anybody.
	begun := o.JSON != nil
	begin := func(from string) {
		if !begun {
			begun = true
			o.printHead(w, from)
		}
	}
	if err == nil {
		begin(a.String())
	}
	s := &PingSummary{To: o.To}
	start := time.Now()
	err = c.Ping(ctx, q,
		func(r *api.PingReply) error {
			s.add(r)
			begin(r.From)
			if o.JSON != nil {
				return o.JSON(r)
			}
			printReply(w, r)
			return nil
		})
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.finish()
	if o.JSON != nil {
		err = o.JSON(s)
	} else {
		s.print(w, time.Since(start))
	}
	if err == nil && s.Received == 0 {
		err = ErrNegative
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// printHead says who is pinged: from is the address, "" if it is not known.
func (o *Ping) printHead(w io.Writer, from string) {
	to, header := o.To, 20
	if a, err := netip.ParseAddr(from); err == nil && a.Is6() || o.V6 {
		header = 40
	}
	if from != "" && from != to {
		to += " (" + from + ")"
	}
	fmt.Fprintf(w, "PING %s %d(%d) bytes of data.\n", to, o.Size, o.Size+8+header)
}

func printReply(w io.Writer, r *api.PingReply) {
	switch {
	case r.Error != "" && r.Sequence == 0:
		fmt.Fprintf(w, "ping: %s\n", r.Error)
	case r.Error == "timeout":
		fmt.Fprintf(w, "no answer yet for icmp_seq=%d\n", r.Sequence)
	case r.Error != "":
		fmt.Fprintf(w, "icmp_seq=%d %s\n", r.Sequence, r.Error)
	case r.Duplicate:
		fmt.Fprintf(w, "%d bytes from %s: icmp_seq=%d (DUP!)\n", r.Bytes, r.From, r.Sequence)
	default:
		fmt.Fprintf(w, "%d bytes from %s: icmp_seq=%d time=%s ms\n", r.Bytes, r.From, r.Sequence, threeDigits(r.Millis))
	}
}

// threeDigits prints milliseconds as iputils does: 0.420, 4.20, 42.0, 420.
func threeDigits(ms float64) string {
	decimals := 3
	for _, limit := range []float64{0.9995, 9.995, 99.95} {
		if ms >= limit {
			decimals--
		}
	}
	return strconv.FormatFloat(ms, 'f', decimals, 64)
}

// add counts what became of a request.
func (s *PingSummary) add(r *api.PingReply) {
	s.Sent = max(s.Sent, r.Sequence)
	switch {
	case r.Duplicate:
		s.Duplicates++
	case r.Error == "timeout":
	case r.Error != "":
		s.Errors++
	default:
		if s.Received++; s.Received == 1 {
			s.Min = r.Millis
		}
		s.Min, s.Max = min(s.Min, r.Millis), max(s.Max, r.Millis)
		s.sum += r.Millis
		s.squares += r.Millis * r.Millis
	}
}

func (s *PingSummary) finish() {
	if s.Sent > 0 {
		s.Loss = 100 * float64(s.Sent-s.Received) / float64(s.Sent)
	}
	if n := float64(s.Received); n > 0 {
		s.Avg = s.sum / n
		s.Mdev = math.Sqrt(max(0, s.squares/n-s.Avg*s.Avg))
	}
}

func (s *PingSummary) print(w io.Writer, took time.Duration) {
	fmt.Fprintf(w, "\n--- %s ping statistics ---\n%d packets transmitted, %d received", s.To, s.Sent, s.Received)
	if s.Duplicates > 0 {
		fmt.Fprintf(w, ", +%d duplicates", s.Duplicates)
	}
	if s.Errors > 0 {
		fmt.Fprintf(w, ", +%d errors", s.Errors)
	}
	fmt.Fprintf(w, ", %.4g%% packet loss, time %dms\n", s.Loss, took.Milliseconds())
	if s.Received > 0 {
		fmt.Fprintf(w, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", s.Min, s.Avg, s.Max, s.Mdev)
	}
}
