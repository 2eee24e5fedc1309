package cli

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// SS are the flags of tapstack ss, which are those of ss(8).
type SS struct {
	TCP, UDP         bool // neither is both
	All, Listening   bool
	Memory, Info     bool
	Timers, NoHeader bool
	JSON             bool
	Filter           []string
}

// Run lists sockets.
func (o *SS) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	f, err := parseSSFilter(o.Filter)
	if err != nil {
		return err
	}
	if f.states == nil {
		f.states = o.states()
	}
	list, err := c.Sockets(ctx, &api.SocketQuery{
		TCP: o.TCP, UDP: o.UDP, States: f.states,
		Memory: o.Memory || o.JSON, Info: o.Info || o.Timers || o.JSON, Holdup: o.Info || o.JSON,
	})
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s api.Socket) bool { return !o.shows(&s, f) })
	var out bytes.Buffer
	if o.JSON {
		writeJSON(&out, list)
	} else {
		o.write(&out, list)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// states are those that the flags ask for.
func (o *SS) states() []string {
	switch {
	case o.All:
		return allStates
	case o.Listening:
		return []string{"LISTEN"}
	}
	return without(allStates, "LISTEN", "CLOSED", "TIME-WAIT", "SYN-RECEIVED")
}

// shows reports whether a socket is to be listed. UDP has two states for ss:
// connected is established, the others are unconnected, which counts as
// listening.
func (o *SS) shows(s *api.Socket, f *ssFilter) bool {
	if s.Protocol == "udp" {
		state := "ESTABLISHED"
		if s.Remote == "" {
			state = "CLOSED"
		}
		listens := o.Listening && s.Remote == "" && !slices.Contains(f.states, "ESTABLISHED")
		if !slices.Contains(f.states, state) && !listens {
			return false
		}
	}
	if f.match == nil {
		return true
	}
	one := newSSSocket(s)
	return f.match(&one)
}

// writeJSON writes a list, an element a line.
func writeJSON(w *bytes.Buffer, list []api.Socket) {
	w.WriteByte('[')
	var line []byte
	for i := range list {
		line = line[:0]
		if i > 0 {
			line = append(line, ',', '\n')
		}
		w.Write(list[i].AppendJSON(line))
	}
	w.WriteString("]\n")
}

// ssNames are ss's names of states that it does not call as RFC 9293 does.
var ssNames = map[string]string{"ESTABLISHED": "ESTAB", "SYN-RECEIVED": "SYN-RECV", "CLOSED": "UNCONN"}

func ssState(s *api.Socket) string {
	if s.Protocol == "udp" {
		if s.Remote == "" {
			return "UNCONN"
		}
		return "ESTAB"
	}
	if name := ssNames[s.State]; name != "" {
		return name
	}
	return s.State
}

// write writes the list as ss does: columns as wide as they need to be, and
// what was asked for beyond them on lines of their own.
func (o *SS) write(w *bytes.Buffer, list []api.Socket) {
	rows := make([][]string, 0, len(list)+1)
	if !o.NoHeader {
		rows = append(rows, []string{"Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"})
	}
	first := 0
	if o.TCP != o.UDP {
		first = 1 // one protocol needs no column
	}
	for i := range list {
		s := &list[i]
		peer := s.Remote
		if peer == "" {
			peer = "*:*"
		}
		rows = append(rows, []string{s.Protocol, ssState(s), itoa(s.RecvQ), itoa(s.SendQ), s.Local, peer})
	}
	var width [6]int
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len(cell))
		}
	}
	for n, r := range rows {
		for i := first; i < len(r); i++ {
			pad := width[i] - len(r[i])
			switch {
			case i == 2 || i == 3: // numbers to the right
				spaces(w, pad)
				w.WriteString(r[i])
			case i == len(r)-1:
				pad = 0
				fallthrough
			default:
				w.WriteString(r[i])
				spaces(w, pad)
			}
			if i < len(r)-1 {
				spaces(w, 2)
			}
		}
		if n -= len(rows) - len(list); n >= 0 {
			o.more(w, &list[n])
		}
		w.WriteByte('\n')
	}
}

func spaces(w *bytes.Buffer, n int) {
	const blank = "                                                                "
	for ; n > 0; n -= len(blank) {
		w.WriteString(blank[:min(n, len(blank))])
	}
}

// more is what was asked for beyond the columns.
func (o *SS) more(w *bytes.Buffer, s *api.Socket) {
	if o.Timers {
		if t := ssTimer(s); t != "" {
			w.WriteString("  timer:" + t)
		}
	}
	if o.Memory {
		if line := ssMemory(s); line != "" {
			w.WriteString("\n\t " + line)
		}
	}
	if o.Info && s.Protocol == "tcp" && s.State != "LISTEN" {
		if line := ssInfo(s.Info); line != "" {
			w.WriteString("\n\t " + line)
		}
		if s.Holdup != nil {
			w.WriteString("\n\t held up by " + strings.TrimPrefix(s.Holdup.Verdict, "held up by "))
		}
	}
}
