package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
	"tapstack/internal/ssfilter"
)

// SS are the flags of tapstack ss, which are those of ss(8).
type SS struct {
	TCP, UDP         bool // neither is both
	All, Listening   bool
	Memory, Info     bool
	Timers, NoHeader bool
	Services         bool // whose each is; ss(8) calls them processes
	JSON             bool
	Filter           []string
}

// Run lists sockets.
func (o *SS) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	f, err := ssfilter.Parse(strings.Join(o.Filter, " "))
	if err != nil {
		return usagef("ss: %w", err)
	}
	if f.States == nil {
		f.States = o.states()
	}
	var list []api.Socket
	err = c.EachSocket(ctx, &api.SocketQuery{
		TCP: o.TCP, UDP: o.UDP, States: f.States,
		Memory: o.Memory || o.JSON, Info: o.Info || o.Timers || o.JSON, Holdup: o.Info || o.JSON,
		Service: o.Services || o.JSON,
	}, func(s *api.Socket) error {
		if o.shows(s, f) {
			list = append(list, *s)
		}
		return nil
	})
	if err != nil {
		return err
	}
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
		return ssfilter.AllStates
	case o.Listening:
		return []string{"LISTEN"}
	}
	return ssfilter.Without(ssfilter.AllStates, "LISTEN", "CLOSED", "TIME-WAIT", "SYN-RECEIVED")
}

// shows reports whether a socket is to be listed. UDP has two states for ss:
// connected is established, the others are unconnected, which counts as
// listening.
func (o *SS) shows(s *api.Socket, f *ssfilter.Filter) bool {
	if s.Protocol == "udp" {
		state := "ESTABLISHED"
		if s.Remote == "" {
			state = "CLOSED"
		}
		listens := o.Listening && s.Remote == "" && !slices.Contains(f.States, "ESTABLISHED")
		if !slices.Contains(f.States, state) && !listens {
			return false
		}
	}
	return f.All() || f.Match(parseEndpoint(s.Local), parseEndpoint(s.Remote))
}

// parseEndpoint reads an address as the API writes it.
func parseEndpoint(text string) netip.AddrPort {
	if port, ok := strings.CutPrefix(text, "*:"); ok {
		n, _ := strconv.ParseUint(port, 10, 16)
		return netip.AddrPortFrom(netip.Addr{}, uint16(n))
	}
	ap, _ := netip.ParseAddrPort(text)
	return ap
}

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

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

// ssRow is one line's columns.
type ssRow [6]string

func ssRowOf(s *api.Socket) ssRow {
	peer := s.Remote
	if peer == "" {
		peer = "*:*"
	}
	return ssRow{s.Protocol, ssState(s), itoa(s.RecvQ), itoa(s.SendQ), s.Local, peer}
}

// write writes the list as ss does: columns as wide as they need to be, and
// what was asked for beyond them on lines of their own.
func (o *SS) write(w *bytes.Buffer, list []api.Socket) {
	head := ssRow{"Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"}
	first := 0
	if o.TCP != o.UDP {
		first = 1 // one protocol needs no column
	}
	var width [len(head)]int
	measure := func(r ssRow) {
		for i, cell := range r {
			width[i] = max(width[i], len(cell))
		}
	}
	if !o.NoHeader {
		measure(head)
	}
	for i := range list {
		measure(ssRowOf(&list[i]))
	}
	if !o.NoHeader {
		writeRow(w, head[first:], width[first:], 2-first)
		w.WriteByte('\n')
	}
	for i := range list {
		r := ssRowOf(&list[i])
		writeRow(w, r[first:], width[first:], 2-first)
		o.more(w, &list[i])
		w.WriteByte('\n')
	}
}

// writeRow writes columns, the two from numbers on to the right.
func writeRow(w *bytes.Buffer, row []string, width []int, numbers int) {
	for i, cell := range row {
		pad := width[i] - len(cell)
		if right := i == numbers || i == numbers+1; right {
			spaces(w, pad)
			pad = 0
		}
		w.WriteString(cell)
		if i < len(row)-1 {
			spaces(w, pad+2)
		}
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
	if o.Services && s.Service != "" {
		w.WriteString("  users:((" + strconv.Quote(s.Service) + "))")
	}
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
