package top

import (
	"strings"

	"tapstack/internal/daemon/api"
)

// column is one of the list's. Widths are in cells.
type column struct {
	name, sort string // heading, and the sort that it shows
	least      int
	most       int // it grows as far as there is room
	keep       int // of columns that do not fit the smallest goes first
	right      bool
	cell       func(w *api.WatchedSocket, width int) []Span

	width int // chosen by fitColumns
}

// columns are in the order of the screen.
var columns = []column{
	{name: "STATE", sort: "state", least: 6, most: 11, keep: 3, cell: stateCell},
	{name: "LOCAL", sort: "local", least: 15, most: 46, keep: 1, cell: func(w *api.WatchedSocket, n int) []Span {
		return []Span{{fitEnd(w.Socket.Local, n), Plain}}
	}},
	{name: "REMOTE", sort: "remote", least: 18, most: 46, keep: 9, cell: remoteCell},
	{name: "IN", sort: "in", least: 5, most: 5, keep: 5, right: true, cell: func(w *api.WatchedSocket, n int) []Span {
		return rateCell(w, n, func(r *api.Rates) float64 { return r.In })
	}},
	{name: "OUT", sort: "out", least: 5, most: 5, keep: 6, right: true, cell: func(w *api.WatchedSocket, n int) []Span {
		return rateCell(w, n, func(r *api.Rates) float64 { return r.Out })
	}},
	{name: "RECV", sort: "recvq", least: 7, most: 20, keep: 7, cell: receiveBar},
	{name: "SEND", sort: "sendq", least: 7, most: 20, keep: 8, cell: sendBar},
	{name: "HELD UP BY", least: 10, most: 60, keep: 2, cell: heldCell},
}

// fitColumns chooses columns and their widths for a screen.
func fitColumns(width int) []column {
	cols := append([]column(nil), columns...)
	for total(cols) > width && len(cols) > 1 {
		least := 0
		for i := range cols {
			if cols[i].keep < cols[least].keep {
				least = i
			}
		}
		cols = append(cols[:least], cols[least+1:]...)
	}
	for i := range cols {
		cols[i].width = cols[i].least
	}
	// One cell each in turn: all grow alike.
	for room, grown := width-total(cols), true; grown && room > 0; {
		grown = false
		for i := range cols {
			if c := &cols[i]; c.width < c.most && room > 0 {
				c.width++
				room--
				grown = true
			}
		}
	}
	return cols
}

func total(cols []column) int {
	n := len(cols) - 1
	for i := range cols {
		n += cols[i].least
	}
	return n
}

// heading is the column's name, marked if it is what the list is sorted by.
func (c *column) heading(sort string) string {
	switch {
	case c.sort == sort, sort == "unsent" && c.sort == "sendq", sort == "rate" && (c.sort == "in" || c.sort == "out"):
		return c.name + "*" // the least width has room for it
	}
	return c.name
}

func (c *column) place(text string) string {
	if c.right {
		return right(text, c.width)
	}
	return fit(text, c.width)
}

// shortStates are the names that ss has, and where those are longer than a
// narrow column shorter ones.
var shortStates = map[string]string{
	"ESTABLISHED": "ESTAB", "SYN-RECEIVED": "SYN-RV", "SYN-SENT": "SYN-ST", "FIN-WAIT-1": "FINWT1", "FIN-WAIT-2": "FINWT2",
	"TIME-WAIT": "TIMEWT", "CLOSE-WAIT": "CLOSWT", "LAST-ACK": "LSTACK", "CLOSING": "CLSING",
}

func stateCell(w *api.WatchedSocket, width int) []Span {
	text := w.Socket.State
	if w.Socket.Protocol == "udp" {
		text = "UDP"
	}
	if short := shortStates[text]; short != "" && len(text) > width {
		text = short
	}
	return []Span{{fit(text, width), Plain}}
}

func remoteCell(w *api.WatchedSocket, width int) []Span {
	if w.Socket.Remote == "" {
		return []Span{{fit("*", width), Dim}}
	}
	return []Span{{fitEnd(w.Socket.Remote, width), Plain}}
}

func rateCell(w *api.WatchedSocket, width int, get func(*api.Rates) float64) []Span {
	if w.Rates == nil || w.Socket.State == "LISTEN" {
		return []Span{{right("-", width), Dim}}
	}
	v := get(w.Rates)
	if v == 0 {
		return []Span{{right("0", width), Dim}}
	}
	return []Span{{right(human(v), width), Plain}}
}

func receiveBar(w *api.WatchedSocket, width int) []Span {
	b := w.Socket.Receive
	if b == nil {
		return []Span{{fit("", width), Dim}}
	}
	n := cells(width, b.Size, b.Queued)
	return bar(width, Span{strings.Repeat(cellQueued, n[0]), Queued})
}

func sendBar(w *api.WatchedSocket, width int) []Span {
	b := w.Socket.Send
	if b == nil {
		return []Span{{fit("", width), Dim}}
	}
	n := cells(width, b.Size, b.Queued-b.Unsent, b.Unsent)
	return bar(width, Span{strings.Repeat(cellSent, n[0]), Sent}, Span{strings.Repeat(cellUnsent, n[1]), Unsent})
}

// bar is parts and free cells after them.
func bar(width int, parts ...Span) []Span {
	var out []Span
	for _, p := range parts {
		if p.Text != "" {
			out = append(out, p)
			width -= len(p.Text)
		}
	}
	return append(out, Span{strings.Repeat(cellFree, max(0, width)), Dim})
}

func heldCell(w *api.WatchedSocket, width int) []Span {
	h := w.Socket.Holdup
	switch {
	case h == nil:
		return []Span{{fit("-", width), Dim}}
	case len(h.Verdict) <= width:
		return []Span{{fit(h.Verdict, width), Plain}}
	}
	who, _, _ := strings.Cut(verdictShort(h.Verdict), " here")
	if who == "neither end nor the network" {
		who = "small segments"
	}
	return []Span{{fit(who, width), Plain}}
}
