package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
)

// The picture is a grid of cards, one for each workload of the headline. A card
// has three bars, to a scale of its own that begins at zero, and a thin line
// from the smallest to the largest run.

// Sizes in pixels.
const (
	columns    = 3
	cardWidth  = 370
	cardHeight = 104
	gap        = 16
	margin     = 28
	topHeight  = 84 // title and legend

	labelWidth = 66
	valueWidth = 74
	barHeight  = 13
	barPitch   = 20
	barsTop    = 42
)

// palette tells the targets apart, also in grey.
var palette = []struct{ target, colour, weight string }{
	{"tapstack", "#1d6fd8", "600"},
	{"kernel", "#8a94a3", "400"},
	{"plain", "#d99a3d", "400"},
}

// svg draws the headline.
func (r *report) svg() []byte {
	cards := slices.DeleteFunc(slices.Clone(r.results), func(x *result) bool { return x.section != "" })
	rows := (len(cards) + columns - 1) / columns
	width := 2*margin + columns*cardWidth + (columns-1)*gap
	height := topHeight + rows*(cardHeight+gap) + margin - gap

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" fill="#1f2733">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#f5f7fa"/>`+"\n", width, height)
	text(&b, margin, 38, `font-size="20" font-weight="600"`, "tapstack beside the kernel and the naive way")
	text(&b, margin, 60, `fill="#5b6675"`, "Medians; the thin line is the spread. Each card has its own scale, from zero.")
	x := width - margin - 3*96
	for _, p := range palette {
		fmt.Fprintf(&b, `<rect x="%d" y="27" width="12" height="12" rx="2" fill="%s"/>`+"\n", x, p.colour)
		text(&b, x+18, 38, `font-weight="`+p.weight+`"`, p.target)
		x += 96
	}
	for i, c := range cards {
		c.card(&b, margin+i%columns*(cardWidth+gap), topHeight+i/columns*(cardHeight+gap))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// card draws one workload with its corner at left, top.
func (x *result) card(b *bytes.Buffer, left, top int) {
	fmt.Fprintf(b, `<g transform="translate(%d %d)">`+"\n", left, top)
	fmt.Fprintf(b, `<rect width="%d" height="%d" rx="6" fill="#ffffff" stroke="#e1e6ec"/>`+"\n", cardWidth, cardHeight)
	text(b, 12, 23, `font-size="13" font-weight="600"`, x.title)
	text(b, cardWidth-12, 23, `text-anchor="end" fill="#5b6675"`, x.Unit+", "+x.Better+" is better")

	largest := 0.0
	for _, runs := range x.Runs {
		largest = max(largest, slices.Max(append([]float64{0}, runs...)))
	}
	room := float64(cardWidth - 12 - labelWidth - valueWidth)
	scale := func(v float64) float64 {
		if largest == 0 {
			return 0
		}
		return v / largest * room
	}
	for i, p := range palette {
		y := barsTop - 6 + i*barPitch
		weight := `font-weight="` + p.weight + `"`
		text(b, 12, y+11, weight, p.target)
		runs := x.Runs[p.target]
		if len(runs) == 0 {
			text(b, 12+labelWidth, y+11, `fill="#b3372f"`, "no result")
			continue
		}
		low, high := scale(slices.Min(runs)), scale(slices.Max(runs))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n",
			12+labelWidth, y, max(scale(median(runs)), 1), barHeight, p.colour)
		fmt.Fprintf(b, `<path d="M%.1f %dH%.1f" stroke="#1f2733" stroke-opacity="0.55"/>`+"\n",
			12+labelWidth+low, y+barHeight/2, 12+labelWidth+high)
		text(b, cardWidth-12, y+11, `text-anchor="end" `+weight, number(median(runs)))
	}
	b.WriteString("</g>\n")
}

func text(b *bytes.Buffer, x, y int, attributes, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
}
