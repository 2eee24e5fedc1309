package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
)

// printer is how the story looks.
type printer struct {
	w   io.Writer
	bar bool
}

func (p *printer) say(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p *printer) title(format string, args ...any) {
	t := fmt.Sprintf(format, args...)
	p.say("\n%s\n%s", t, strings.Repeat("-", len(t)))
}

func (p *printer) verdictLine(c Check) { p.say("  %s  %s: %s", mark(c.OK), c.Name, c.Detail) }

func mark(ok bool) string {
	if ok {
		return "ok  "
	}
	return "FAIL"
}

// grid prints rows in columns, the first row being the heads.
func (p *printer) grid(rows ...[]string) {
	tw := tabwriter.NewWriter(p.w, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(tw, "    %s\n", strings.Join(r, "\t"))
	}
	_ = tw.Flush()
}

// progress draws a bar of n bytes on a terminal, and says on anything else
// that something long has begun.
func (p *printer) progress(what string, n int64) io.WriteCloser {
	if !p.bar {
		p.say("  ... %s, %s", what, size(n))
		return nopBar{}
	}
	return progressbar.NewOptions64(n,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetDescription("  "+what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true),
	)
}

type nopBar struct{}

func (nopBar) Write(p []byte) (int, error) { return len(p), nil }
func (nopBar) Close() error                { return nil }

// size prints bytes as people say them.
func size(n int64) string {
	switch {
	case n >= 1e9 && n%1e8 == 0:
		return fmt.Sprintf("%.4g GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.4g MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
