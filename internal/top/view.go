package top

import (
	"fmt"
	"slices"
	"strings"

	"tapstack/internal/daemon/api"
)

// Style is how a span looks. Without colour each still differs from plain text
// where that matters.
type Style uint8

// The styles.
const (
	Plain    Style = iota
	Bold           // names
	Dim            // what is free, what is unknown
	Heading        // the columns
	Selected       // the line that keys are about
	Sent           // parts of bars
	Unsent
	Queued
	Problem
)

// Span is text in one style.
type Span struct {
	Text  string
	Style Style
}

// Line is a line of the screen.
type Line []Span

// Text is a line without its styles.
func (l Line) Text() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.Text)
	}
	return b.String()
}

// View is the screen: at most as many lines as it has, none longer than it is
// wide.
func (m *Model) View() []Line {
	var out []Line
	switch m.page {
	case pageHelp:
		out = m.helpView()
	case pageDetail:
		out = append(m.header(), m.detailView()...)
	case pageList:
		out = append(m.header(), m.listView()...)
	}
	out = out[:min(len(out), max(m.height, 0))]
	for i, l := range out {
		out[i] = clip(l, m.width)
	}
	return out
}

// clip cuts a line to a width.
func clip(l Line, width int) Line {
	for i := range l {
		r := []rune(l[i].Text)
		if len(r) > width {
			l[i].Text = string(r[:max(width, 0)])
			return l[:i+1]
		}
		width -= len(r)
	}
	return l
}

// header is what is true of all sockets and links, and of this program.
func (m *Model) header() []Line {
	first := Line{{"tapstack top", Bold}}
	if m.look == nil {
		first = append(first, Span{" - waiting for the daemon", Plain})
		return []Line{first, m.status()}
	}
	total := 0
	for _, n := range m.look.States {
		total += n
	}
	text := fmt.Sprintf(" - %s  %s sockets", m.look.Time.Format("15:04:05"), count(total))
	for i, s := range m.statesByNumber() {
		text += []string{": ", ", "}[min(i, 1)] + count(m.look.States[s]) + " " + strings.Replace(s, "ESTABLISHED", "ESTAB", 1)
	}
	out := []Line{append(first, Span{text, Plain})}
	const most = 4 // the rest of the screen is for sockets
	for i := range m.look.Links[:min(most, len(m.look.Links))] {
		out = append(out, linkLine(&m.look.Links[i]))
	}
	if n := len(m.look.Links) - most; n > 0 {
		out = append(out, Line{{fmt.Sprintf("and %d links more", n), Dim}})
	}
	return append(out, m.status())
}

// statesByNumber are the states that there are, the most frequent first.
func (m *Model) statesByNumber() []string {
	var out []string
	for s := range m.look.States {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b string) int {
		if d := m.look.States[b] - m.look.States[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return out
}

func linkLine(l *api.LinkTraffic) Line {
	var r api.LinkRates
	if l.Rates != nil {
		r = *l.Rates
	}
	out := Line{
		{fit(l.Name, max(8, len(l.Name))), Bold},
		{fmt.Sprintf(" in %5sB/s %5s frames/s", human(r.RxBytes), human(r.RxFrames)), Plain},
		{fmt.Sprintf("   out %5sB/s %5s frames/s", human(r.TxBytes), human(r.TxFrames)), Plain},
	}
	if n := l.Rx.Drops + l.Tx.Drops; n > 0 {
		out = append(out, Span{fmt.Sprintf("  %s dropped", human(float64(n))), Problem})
	}
	return out
}

// status is what was chosen, or what is being typed, or what is wrong.
func (m *Model) status() Line {
	if m.editing {
		l := Line{{"filter: ", Bold}, {m.edit, Plain}, {" ", Selected}}
		if m.problem != "" {
			l = append(l, Span{" " + m.problem, Problem})
		}
		return l
	}
	if m.problem != "" {
		return Line{{m.problem, Problem}}
	}
	text := "by " + m.o.Sort
	if m.o.Reverse {
		text += " reversed"
	}
	if m.o.TCP != m.o.UDP {
		text += map[bool]string{true: "  TCP only", false: "  UDP only"}[m.o.TCP]
	}
	if m.o.Filter != "" {
		text += "  filter: " + m.o.Filter
	}
	l := Line{{text, Plain}}
	if m.look != nil && m.page == pageList && m.look.Matched > m.rows() {
		l = append(l, Span{fmt.Sprintf("  %s-%s of %s", count(m.top+1), count(min(m.top+m.rows(), m.look.Matched)), count(m.look.Matched)), Plain})
	}
	if m.paused {
		l = append(l, Span{"  PAUSED", Problem})
	}
	if m.page == pageList {
		l = append(l, Span{"  (h: help, q: quit)", Dim})
	} else {
		l = append(l, Span{"  (Esc: back, q: quit)", Dim})
	}
	return l
}

// rows is how many sockets the screen has room for.
func (m *Model) rows() int {
	head := 2 // a line of totals or status more, and the columns' names
	if m.look != nil {
		head = 3 + min(len(m.look.Links), 5)
	}
	return max(1, m.height-head)
}

// listView is the table of sockets.
func (m *Model) listView() []Line {
	cols := fitColumns(m.width)
	var head strings.Builder
	for i, c := range cols {
		if i > 0 {
			head.WriteByte(' ')
		}
		head.WriteString(c.place(c.heading(m.o.Sort)))
	}
	out := []Line{{{fit(head.String(), m.width), Heading}}}
	if m.look == nil {
		return out
	}
	if len(m.look.Sockets) == 0 {
		return append(out, Line{{"no sockets", Dim}})
	}
	selected := m.index()
	last := min(len(m.look.Sockets), m.top+m.rows())
	for i := m.top; i < last; i++ {
		out = append(out, row(&m.look.Sockets[i], cols, i == selected, m.width))
	}
	return out
}

// row is one socket's line.
func row(w *api.WatchedSocket, cols []column, selected bool, width int) Line {
	var l Line
	used := 0
	for i, c := range cols {
		if i > 0 {
			l = append(l, Span{" ", Plain})
			used++
		}
		l = append(l, c.cell(w, c.width)...)
		used += c.width
	}
	if !selected {
		return l
	}
	l = append(l, Span{strings.Repeat(" ", max(0, width-used)), Plain})
	for i := range l {
		if l[i].Style == Plain || l[i].Style == Dim || l[i].Style == Bold {
			l[i].Style = Selected
		}
	}
	return l
}
