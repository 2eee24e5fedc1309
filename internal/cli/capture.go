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
	Errs   io.Writer       // is told at the end how many frames there were, and how many dropped

	frames, dropped uint64
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
	defer o.sum()
	tee := &tee{r: r, w: w}
	frames, err := capture.Open(tee)
	for err == nil {
		var f capture.Frame
		if f, err = frames.Next(); err == nil {
			o.count(&f)
		}
	}
	if tee.err == nil {
		// What cannot be counted is written all the same.
		_, _ = io.Copy(io.Discard, tee)
	}
	if errors.Is(tee.err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return tee.err
}

// tee writes what is read from it, each piece at once, and keeps the first
// error of either.
type tee struct {
	r   io.Reader
	w   io.Writer
	err error
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.r.Read(p)
	if n > 0 {
		if _, e := t.w.Write(p[:n]); e != nil {
			err = e
		}
	}
	t.err = err
	return n, err
}

func (o *Capture) count(f *capture.Frame) {
	o.frames++
	o.dropped += f.Lost
}

// sum says how many frames there were: those dropped after the last are not
// known here.
func (o *Capture) sum() {
	if o.Errs != nil {
		fmt.Fprintf(o.Errs, "%d frames, %d dropped\n", o.frames, o.dropped)
	}
}

// Print prints a line for each frame, until a limit is reached or ctx is done.
func (o *Capture) Print(ctx context.Context, c *client.Client, w io.Writer) error {
	r, err := o.open(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	defer o.sum()
	frames, err := capture.Open(bufio.NewReader(r))
	for err == nil {
		var f capture.Frame
		if f, err = frames.Next(); err != nil {
			break
		}
		o.count(&f)
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
