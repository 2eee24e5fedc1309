package top

import (
	"fmt"
	"strings"

	"tapstack/internal/daemon/api"
)

// detailView is everything about one socket.
func (m *Model) detailView() []Line {
	var w *api.WatchedSocket
	if m.look != nil {
		for i := range m.look.Sockets {
			if keyOf(&m.look.Sockets[i]) == m.detail {
				w = &m.look.Sockets[i]
			}
		}
	}
	ends := m.detail.protocol + " " + m.detail.local
	if m.detail.remote != "" {
		ends += " - " + m.detail.remote
	}
	out := []Line{{{fit(ends, m.width), Heading}}}
	if w == nil {
		return append(out, Line{{"this socket is gone", Problem}})
	}
	s := &w.Socket
	first := Line{{fit("state", 8), Bold}, {s.State, Plain}}
	if s.State == "" {
		first[1].Text = "UDP has none"
	}
	if w.Rates != nil && s.State != "LISTEN" {
		unit := map[string]string{"udp": " datagrams/s"}[s.Protocol]
		if unit == "" {
			unit = "B/s"
		}
		first = append(first, Span{fmt.Sprintf("   in %s%s   out %s%s", human(w.Rates.In), unit, human(w.Rates.Out), unit), Plain})
	}
	out = append(out, first)
	out = append(out, m.bufferLines(w)...)
	out = append(out, holdupLines(s.Holdup)...)
	return append(out, m.infoLines(s.Info)...)
}

// bufferLines are both buffers, a bar and its numbers each.
func (m *Model) bufferLines(w *api.WatchedSocket) []Line {
	var out []Line
	width := max(10, m.width-8)
	if b := w.Socket.Send; b != nil {
		out = append(out, append(Line{{fit("send", 8), Bold}}, sendBar(w, width)...),
			Line{{fmt.Sprintf("        %s of %s queued, %s unsent (%s); peer's window %s",
				count(b.Queued), count(b.Size), count(b.Unsent), cellUnsent, count(b.Window)), Plain}})
	}
	if b := w.Socket.Receive; b != nil {
		text := fmt.Sprintf("        %s of %s queued", count(b.Queued), count(b.Size))
		if w.Socket.Protocol == "tcp" {
			text += "; our window " + count(b.Window)
		}
		l := Line{{text, Plain}}
		if b.Dropped > 0 {
			l = append(l, Span{fmt.Sprintf("; %d datagrams dropped", b.Dropped), Problem})
		}
		out = append(out, append(Line{{fit("receive", 8), Bold}}, receiveBar(w, width)...), l)
	}
	return out
}

// holdupLines say what holds a connection up, and the shares.
func holdupLines(h *api.Holdup) []Line {
	if h == nil {
		return []Line{{{fit("held up", 8), Bold}, {"not known: no account is kept (tapstack set accounting=on)", Dim}}}
	}
	text := "       "
	for _, one := range []struct {
		name  string
		share float64
	}{
		{"application", h.Application}, {"send buffer", h.SendBuffer}, {"congestion", h.Congestion},
		{"peer's window", h.PeerWindow}, {"device", h.Device}, {"other", h.Other},
	} {
		if one.share >= 0.005 {
			text += " " + one.name + " " + percent(one.share)
		}
	}
	return []Line{{{fit("held up", 8), Bold}, {"by " + h.Verdict, Plain}}, {{text, Plain}}}
}

// infoLines are the fields of tcp_info in columns, read downwards.
func (m *Model) infoLines(f api.Fields) []Line {
	if len(f) == 0 {
		return nil
	}
	const width = 26
	n := max(1, m.width/width)
	lines := (len(f) + n - 1) / n
	out := []Line{{{"tcp_info", Bold}}}
	for i := range lines {
		var b strings.Builder
		for k := i; k < len(f); k += lines {
			name := strings.TrimPrefix(f[k].Name, "tcpi_")
			b.WriteString(fit(fmt.Sprintf("%-15s %d", name, f[k].Value), width))
		}
		out = append(out, Line{{strings.TrimRight(b.String(), " "), Plain}})
	}
	return out
}

// helpView is what the keys do and the signs mean.
func (m *Model) helpView() []Line {
	out := []Line{{{fit("tapstack top: keys", m.width), Heading}}}
	for _, l := range [][2]string{
		{"s S", "sort by the next, the previous of"},
		{"", strings.Join(api.Sorts, " ")},
		{"r", "reverse the order"},
		{"/", "filter in ss's language: state established dport = :80"},
		{"t u", "TCP only, UDP only, or both again"},
		{"p Space", "pause: the daemon is not asked"},
		{"Up Down", "select; also k j, PgUp PgDn, Home End"},
		{"Enter", "everything about the selected socket; Esc goes back"},
		{"h", "this; any key leaves it"},
		{"q", "quit"},
		{"", ""},
		{"IN OUT", "payload bytes a second, acknowledged; UDP: datagrams a second"},
		{"RECV", cellQueued + " received and not read  " + cellFree + " free"},
		{"SEND", cellSent + " sent and not acknowledged  " + cellUnsent + " not sent yet  " + cellFree + " free"},
		{"HELD UP", "by whom, since account is kept; - no account is kept:"},
		{"", "switch it on with tapstack set accounting=on"},
		{"~", "something does not fit; * what the list is sorted by"},
	} {
		out = append(out, Line{{fit(l[0], 9), Bold}, {l[1], Plain}})
	}
	return out
}
