package top

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// Batch is top without a screen.
type Batch struct {
	Options
	Count int  // how many looks; 0 is until the context is done
	JSON  bool // a JSON document a line instead of text
	Width int  // of the text
	Limit int  // how many sockets; 0 is as many as the daemon tells of
}

var errEnough = errors.New("enough")

// Run writes a look at the sockets every interval, the first when there are
// rates.
func (b *Batch) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	m := NewModel(&b.Options, b.Width, 0)
	q, _ := m.Query() // nothing is paused
	q.Limit, q.Info = b.Limit, b.JSON
	n := -1 // the first is what the second is reckoned from
	err := c.WatchSockets(ctx, &q, func(l *api.SocketWatch) error {
		if n++; n == 0 {
			return nil
		}
		if err := b.write(w, m, l); err != nil {
			return err
		}
		if n == b.Count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	if err == nil {
		return errEnded
	}
	return err
}

func (b *Batch) write(w io.Writer, m *Model, l *api.SocketWatch) error {
	if b.JSON {
		return json.NewEncoder(w).Encode(l)
	}
	out := bufio.NewWriter(w)
	for _, line := range m.text(l) {
		_, _ = out.WriteString(line)
		_ = out.WriteByte('\n')
	}
	_ = out.WriteByte('\n')
	return out.Flush() // with the error of any write before it
}

// text is one look as the list page shows it, as long as it takes.
func (m *Model) text(l *api.SocketWatch) []string {
	m.look = l
	m.height = len(l.Sockets) + 3 + len(l.Links) + 1
	var out []string
	for _, line := range append(m.header(), m.listView()...) {
		out = append(out, trimRight(clip(line, m.width).Text()))
	}
	return out
}
