package top

import (
	"slices"
	"time"

	"tapstack/internal/daemon/api"
	"tapstack/internal/ssfilter"
)

// Options are what top begins with.
type Options struct {
	Interval time.Duration // between two looks
	TCP, UDP bool          // neither is both
	Sort     string        // one of api.Sorts, the first if empty
	Reverse  bool
	Filter   string // in ss(8)'s language
}

// page is what the screen shows.
type page uint8

const (
	pageList page = iota
	pageDetail
	pageHelp
)

// Model is all that is shown, and what was chosen. Update changes it, View
// shows it.
type Model struct {
	o             Options
	width, height int

	page    page
	paused  bool
	editing bool   // the filter
	edit    string // what has been typed
	problem string // with the daemon, or what was typed

	look     *api.SocketWatch // nil before the first
	selected socketKey        // zero: the first
	top      int              // how many are above the screen
	detail   socketKey        // whose page it is
}

// socketKey tells sockets apart from one look to the next.
type socketKey struct{ protocol, local, remote string }

func keyOf(w *api.WatchedSocket) socketKey {
	return socketKey{w.Socket.Protocol, w.Socket.Local, w.Socket.Remote}
}

// NewModel makes one for a screen of that size.
func NewModel(o *Options, width, height int) *Model {
	m := &Model{o: *o, width: width, height: height}
	if m.o.Sort == "" {
		m.o.Sort = api.Sorts[0]
	}
	return m
}

// Action is what is to be done after an event.
type Action uint8

// The actions.
const (
	Draw Action = iota // show the model
	Ask                // ask the daemon for Query from now on, and show the model
	Quit
)

// The events.
type (
	// Key is a key: what it types, or a name such as "Up".
	Key string
	// Resize is a new size of the screen, in cells.
	Resize struct{ Width, Height int }
	// Looked is a look at the sockets.
	Looked struct{ Look *api.SocketWatch }
	// Failed is that the daemon does not answer.
	Failed struct{ Err error }
)

// chunk is how many sockets are asked for beyond those shown: scrolling by a
// line is no new question.
const chunk = 50

// Query is what to ask the daemon for; ok is false if nothing is to be asked.
func (m *Model) Query() (q api.SocketWatchQuery, ok bool) {
	q = api.SocketWatchQuery{
		Interval: m.o.Interval, TCP: m.o.TCP, UDP: m.o.UDP, Filter: m.o.Filter, Sort: m.o.Sort, Reverse: m.o.Reverse,
		Limit: min(api.MaxWatched, (m.top+m.rows())/chunk*chunk+chunk),
	}
	if m.page == pageDetail {
		// Addresses are enough: what they do not tell apart is picked out of
		// the answer.
		q.Info = true
		q.TCP, q.UDP = m.detail.protocol == "tcp", m.detail.protocol == "udp"
		q.Filter = endFilter("src", m.detail.local)
		if m.detail.remote != "" {
			q.Filter += " and " + endFilter("dst", m.detail.remote)
		}
	}
	return q, !m.paused
}

// endFilter is an address as ss's filter has it: of an address with a zone only
// the port.
func endFilter(which, end string) string {
	port := end[max(0, lastColon(end)):]
	if slices.Contains([]byte(end), '%') || end[0] == '*' {
		if which == "src" {
			return "sport = " + port
		}
		return "dport = " + port
	}
	return which + " " + end
}

func lastColon(end string) int {
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] == ':' {
			return i
		}
	}
	return -1
}

// Update takes an event.
func (m *Model) Update(event any) Action {
	switch e := event.(type) {
	case Resize:
		before, _ := m.Query()
		m.width, m.height = e.Width, e.Height
		m.scroll()
		if after, ok := m.Query(); ok && after.Limit > before.Limit {
			return Ask
		}
	case Looked:
		m.problem = ""
		m.look = e.Look
		m.scroll()
	case Failed:
		m.problem = e.Err.Error()
	case Key:
		return m.key(e)
	}
	return Draw
}

func (m *Model) key(k Key) Action {
	if k == "Ctrl-C" {
		return Quit
	}
	if m.editing {
		return m.editKey(k)
	}
	switch k {
	case "q":
		return Quit
	case "p", " ":
		m.paused = !m.paused
		return Ask
	case "Ctrl-L":
		return Draw
	}
	switch m.page {
	case pageHelp:
		m.page = pageList
		return Draw
	case pageDetail:
		if k == "Esc" || k == "Enter" || k == "Left" || k == "i" {
			m.page = pageList
			return Ask
		}
		return Draw
	case pageList:
		return m.listKey(k)
	}
	return Draw
}

func (m *Model) listKey(k Key) Action {
	switch k {
	case "h", "?", "F1":
		m.page = pageHelp
	case "/", "f":
		m.editing, m.edit, m.problem = true, m.o.Filter, ""
	case "s", ">", "Right":
		return m.sortBy(1)
	case "S", "<", "Left":
		return m.sortBy(-1)
	case "r", "R":
		m.o.Reverse = !m.o.Reverse
		return Ask
	case "t", "u":
		t, u := k == "t" && (!m.o.TCP || m.o.UDP), k == "u" && (!m.o.UDP || m.o.TCP)
		m.o.TCP, m.o.UDP = t, u
		return Ask
	case "Enter", "i":
		if w := m.current(); w != nil {
			m.page, m.detail = pageDetail, keyOf(w)
			return Ask
		}
	default:
		return m.move(k)
	}
	return Draw
}

// sortBy takes the next or the previous of the sorts.
func (m *Model) sortBy(step int) Action {
	i := slices.Index(api.Sorts, m.o.Sort) + step + len(api.Sorts)
	m.o.Sort = api.Sorts[i%len(api.Sorts)]
	m.selected, m.top = socketKey{}, 0
	return Ask
}

// move moves the selection.
func (m *Model) move(k Key) Action {
	if m.look == nil || len(m.look.Sockets) == 0 {
		return Draw
	}
	before, _ := m.Query()
	i := m.index()
	switch k {
	case "Up", "k":
		i--
	case "Down", "j":
		i++
	case "PgUp":
		i -= m.rows()
	case "PgDn":
		i += m.rows()
	case "Home", "g":
		i = 0
	case "End", "G":
		i = len(m.look.Sockets) - 1
	default:
		return Draw
	}
	i = min(max(i, 0), len(m.look.Sockets)-1)
	m.selected = keyOf(&m.look.Sockets[i])
	if i == 0 {
		m.selected = socketKey{}
	}
	m.scroll()
	if after, ok := m.Query(); ok && after.Limit > before.Limit {
		return Ask
	}
	return Draw
}

// editKey is a key while the filter is typed.
func (m *Model) editKey(k Key) Action {
	switch k {
	case "Esc":
		m.editing, m.problem = false, ""
	case "Enter":
		if _, err := ssfilter.Parse(m.edit); err != nil {
			m.problem = err.Error()
			return Draw
		}
		m.editing, m.problem = false, ""
		m.o.Filter = m.edit
		m.selected, m.top = socketKey{}, 0
		return Ask
	case "Backspace":
		if r := []rune(m.edit); len(r) > 0 {
			m.edit = string(r[:len(r)-1])
		}
	case "Ctrl-U":
		m.edit = ""
	default:
		const most = 1000
		if r := []rune(string(k)); len(r) == 1 && r[0] >= ' ' && len(m.edit) < most {
			m.edit += string(k)
		}
	}
	return Draw
}

// index is where the selected socket is; one that is gone leaves its place to
// the first.
func (m *Model) index() int {
	if m.look != nil {
		for i := range m.look.Sockets {
			if keyOf(&m.look.Sockets[i]) == m.selected {
				return i
			}
		}
	}
	return 0
}

// current is the selected socket, nil if there is none.
func (m *Model) current() *api.WatchedSocket {
	if m.look == nil || len(m.look.Sockets) == 0 {
		return nil
	}
	return &m.look.Sockets[m.index()]
}

// scroll keeps the selected socket on the screen.
func (m *Model) scroll() {
	if m.look == nil || m.page == pageDetail {
		return
	}
	i, rows := m.index(), m.rows()
	m.top = max(0, min(m.top, i, len(m.look.Sockets)-rows))
	m.top = max(m.top, i-rows+1)
}
