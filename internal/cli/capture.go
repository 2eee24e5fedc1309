package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
	"tapstack/tap/capture"
)

// Capture are the arguments of tapstack capture, which are tcpdump's where it
// has them.
type Capture struct {
	Query  api.CaptureQuery
	Filter []string
	JSON   func(any) error // not nil: each frame as JSON
}

// Frame is a line of a capture, for a program.
type Frame struct {
	Time      time.Time `json:"time"`
	Link      string    `json:"link"`
	Direction string    `json:"direction"`
	Length    int       `json:"length"`
	Summary   string    `json:"summary"`
}

// open begins the capture.
func (o *Capture) open(ctx context.Context, c *client.Client) (io.ReadCloser, error) {
	o.Query.Filter = strings.Join(o.Filter, " ")
	return c.Capture(ctx, &o.Query)
}

// Write writes the capture to w as pcapng, until a limit is reached or ctx is
// done.
func (o *Capture) Write(ctx context.Context, c *client.Client, w io.Writer) error {
	r, err := o.open(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	// Each piece at once, and large enough that it is whole blocks mostly.
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Print prints a line for each frame, until a limit is reached or ctx is done.
func (o *Capture) Print(ctx context.Context, c *client.Client, w io.Writer) error {
	r, err := o.open(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	frames, err := capture.Open(bufio.NewReader(r))
	for err == nil {
		var f capture.Frame
		if f, err = frames.Next(); err != nil {
			break
		}
		line := summary(f.Data, f.Length)
		if o.JSON != nil {
			err = o.JSON(Frame{f.Time, f.Interface, f.Direction.String(), f.Length, line})
			continue
		}
		arrow := map[capture.Direction]string{capture.Inbound: "<", capture.Outbound: ">"}[f.Direction]
		_, err = fmt.Fprintf(w, "%s %s %-1s %s\n", f.Time.Local().Format("15:04:05.000000"), f.Interface, arrow, line)
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}
