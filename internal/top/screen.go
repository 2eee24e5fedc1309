package top

import (
	"context"
	"fmt"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/color"

	"tapstack/internal/daemon/client"
)

// Run shows top on the terminal until q is pressed or ctx is done. Without a
// daemon to begin with it fails; one that goes away later is waited for. There
// are no colours with NO_COLOR in the environment.
func Run(ctx context.Context, c *client.Client, o *Options) error {
	if _, err := c.Info(ctx); err != nil {
		return err
	}
	s, err := tcell.NewScreen()
	if err == nil {
		err = s.Init()
	}
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer s.Fini()
	s.HideCursor()
	return run(ctx, c, o, s)
}

// run is Run on a screen that is ready.
func run(ctx context.Context, c *client.Client, o *Options, s tcell.Screen) error {
	m := NewModel(o, 0, 0)
	m.width, m.height = s.Size()
	f := newFeed(c)
	defer f.stop()
	action := Ask
	for {
		switch action {
		case Quit:
			return nil
		case Ask:
			f.stop()
			if q, ok := m.Query(); ok {
				f.ask(ctx, &q)
			}
		case Draw:
		}
		draw(s, m.View())
		select {
		case e, ok := <-s.EventQ():
			if !ok {
				return nil
			}
			action = Draw
			if event := eventOf(s, e); event != nil {
				action = m.Update(event)
			}
		case e := <-f.out:
			action = m.Update(e)
		case <-ctx.Done():
			return nil
		}
	}
}

// keyNames are the keys that the model knows by name.
var keyNames = map[tcell.Key]Key{
	tcell.KeyUp: "Up", tcell.KeyDown: "Down", tcell.KeyLeft: "Left", tcell.KeyRight: "Right",
	tcell.KeyPgUp: "PgUp", tcell.KeyPgDn: "PgDn", tcell.KeyHome: "Home", tcell.KeyEnd: "End",
	tcell.KeyEnter: "Enter", tcell.KeyEscape: "Esc", tcell.KeyBackspace: "Backspace", tcell.KeyBackspace2: "Backspace",
	tcell.KeyCtrlC: "Ctrl-C", tcell.KeyCtrlL: "Ctrl-L", tcell.KeyCtrlU: "Ctrl-U", tcell.KeyF1: "F1",
}

// eventOf is what the model knows of a terminal's event, nil for nothing.
func eventOf(s tcell.Screen, e tcell.Event) any {
	switch e := e.(type) {
	case *tcell.EventResize:
		s.Sync()
		w, h := s.Size()
		return Resize{w, h}
	case *tcell.EventKey:
		if e.Key() == tcell.KeyRune {
			return Key(e.Str())
		}
		k, ok := keyNames[e.Key()]
		if !ok {
			return nil
		}
		if k == "Ctrl-L" {
			s.Sync()
		}
		return k
	}
	return nil
}

var styles = [...]tcell.Style{
	Plain:    tcell.StyleDefault,
	Bold:     tcell.StyleDefault.Bold(true),
	Dim:      tcell.StyleDefault.Dim(true),
	Heading:  tcell.StyleDefault.Reverse(true).Bold(true),
	Selected: tcell.StyleDefault.Reverse(true),
	Sent:     tcell.StyleDefault.Foreground(color.Green),
	Unsent:   tcell.StyleDefault.Foreground(color.Yellow),
	Queued:   tcell.StyleDefault.Foreground(color.Blue),
	Problem:  tcell.StyleDefault.Foreground(color.Red).Bold(true),
}

// draw shows lines; the library sends the terminal what has changed.
func draw(s tcell.Screen, lines []Line) {
	s.Clear()
	for y, l := range lines {
		x := 0
		for _, span := range l {
			s.PutStrStyled(x, y, span.Text, styles[span.Style])
			x += len([]rune(span.Text))
		}
	}
	s.Show()
}
