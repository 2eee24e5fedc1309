package drill

import (
	"errors"
	"fmt"
	"strings"

	"tapstack/drill/script"
	"tapstack/socketapi"
)

// code runs assertions and what they need.
func (r *run) code(h *host, c *script.Code) {
	look := r.lookupOn(h)
	for _, st := range c.Stmts {
		switch st := st.(type) {
		case *script.Assert:
			r.assert(st, look)
		case *script.PrintStmt:
			var words []string
			for _, x := range st.Args {
				words = append(words, script.Show(r.value(x, look)))
			}
			const most = 1 << 20
			if r.out.Len() < most {
				fmt.Fprintln(&r.out, strings.Join(words, " "))
			}
		case *script.Assign:
			x := st.Value
			if st.Op != "" {
				x = &script.Binary{Pos: st.Pos, Op: st.Op, X: &script.Name{Pos: st.Pos, Name: st.Name}, Y: x}
			}
			r.vars[st.Name] = r.value(x, look)
		}
	}
}

func (r *run) value(x script.Expr, look script.Lookup) any {
	v, err := script.Eval(x, look)
	if err != nil {
		var missing *unknownField
		if errors.As(err, &missing) && missing.feature {
			unsupported(x.At(), "%s", missing.name)
		}
		r.check(err)
	}
	return v
}

// assert fails with what the names in the condition were worth.
func (r *run) assert(a *script.Assert, look script.Lookup) {
	if script.Truth(r.value(a.Cond, look)) {
		return
	}
	var values []string
	seen := make(map[string]bool)
	script.Inspect(a.Cond, func(n script.Node) bool {
		x, ok := n.(script.Expr)
		if !ok {
			return true
		}
		switch x.(type) {
		case *script.Name, *script.Select, *script.Apply:
			text := script.Format(x)
			if v, err := script.Eval(x, look); err == nil && !seen[text] {
				seen[text] = true
				values = append(values, text+" = "+script.Show(v))
			}
			return false
		}
		return true
	})
	reason := "assertion does not hold"
	if a.Msg != nil {
		if v, err := script.Eval(a.Msg, look); err == nil {
			reason += ": " + script.Show(v)
		}
	}
	panic(&stop{
		pos: a.Pos, outcome: Fail, reason: reason,
		want: script.Format(a.Cond), got: strings.Join(values, ", "), diffs: values,
	})
}

// unknownField is a name that means nothing, or nothing here.
type unknownField struct {
	name    string
	feature bool // it is one of tcp_info that this stack has not
}

func (e *unknownField) Error() string { return "no such name: " + e.name }

// lookup gives names outside of assertions their meaning.
func (r *run) lookup(x script.Expr, args []any) (any, error) {
	switch x := x.(type) {
	case *script.Name:
		if v, ok := r.vars[x.Name]; ok {
			return v, nil
		}
		if v, ok := r.consts[x.Name]; ok {
			return v, nil
		}
		return nil, &unknownField{name: x.Name}
	case *script.Apply:
		if name, ok := x.Func.(*script.Name); ok && len(args) > 0 {
			switch name.Name {
			case "htons", "htonl", "ntohs", "ntohl":
				return args[0], nil
			case "inet_addr":
				return args[0], nil
			case "inet_pton":
				return args[len(args)-1], nil
			case "abs":
				if n, ok := args[0].(int64); ok {
					return max(n, -n), nil
				}
			}
		}
	}
	return nil, &unknownField{name: script.Format(x)}
}

// lookupOn adds the fields of h's sockets: "rcvbuf_queued" is of the one that
// was last connected or accepted, "rcvbuf_queued(4)" of descriptor 4.
func (r *run) lookupOn(h *host) script.Lookup {
	return func(x script.Expr, args []any) (any, error) {
		v, err := r.lookup(x, args)
		if err == nil {
			return v, nil
		}
		var name string
		var so *socketapi.Socket
		switch x := x.(type) {
		case *script.Name:
			name = x.Name
			if h.last != nil {
				so = h.last.so
			}
		case *script.Apply:
			fn, ok := x.Func.(*script.Name)
			fd, isInt := any(nil), false
			if len(args) == 1 {
				fd, isInt = args[0], true
			}
			n, isInt2 := fd.(int64)
			if !ok || !isInt || !isInt2 {
				return nil, err
			}
			f := h.files[int(n)]
			if f == nil || f.so == nil {
				return nil, fmt.Errorf("%d is no socket", n)
			}
			name, so = fn.Name, f.so
		default:
			return nil, err
		}
		return r.field(h, so, name)
	}
}

// field is a fact about a socket, or, before the script has one, about the
// connection that the stack has.
func (r *run) field(h *host, so *socketapi.Socket, name string) (any, error) {
	var (
		info socketapi.Info
		snd  socketapi.SendBuffer
		rcv  socketapi.ReceiveBuffer
	)
	if so != nil {
		var err error
		if info, err = so.Info(); err != nil {
			return nil, err
		}
		snd, rcv = so.Buffers()
	} else {
		s, ok := h.unaccepted()
		if !ok {
			return nil, errors.New("there is no socket yet for " + name)
		}
		info, snd, rcv = s.Info, s.Send, s.Receive
	}
	if v, ok := bufferField(name, &snd, &rcv); ok {
		return int64(v), nil
	}
	if name == "state" {
		return info.State.String(), nil
	}
	if v, ok := info.Field(name); ok {
		return v, nil
	}
	return nil, &unknownField{name: name, feature: strings.HasPrefix(name, "tcpi_")}
}

// unaccepted is the stack's socket of the current connection.
func (h *host) unaccepted() (socketapi.SocketInfo, bool) {
	f := h.current[protoTCP]
	if f == nil {
		return socketapi.SocketInfo{}, false
	}
	for _, s := range socketapi.TCPSockets(h.stack) {
		// During a handshake that came to a listener the stack does not tell the
		// other side.
		half := s.State == socketapi.SynReceived && !s.Remote.IsValid()
		if s.Local == f.local && (s.Remote == f.remote || half) {
			return s, true
		}
	}
	return socketapi.SocketInfo{}, false
}

// bufferField is a field of one of the two buffers, by name.
func bufferField(name string, snd *socketapi.SendBuffer, rcv *socketapi.ReceiveBuffer) (int, bool) {
	switch name {
	case "sndbuf_size":
		return snd.Size, true
	case "sndbuf_queued":
		return snd.Queued, true
	case "sndbuf_unsent":
		return snd.Unsent, true
	case "sndbuf_free":
		return snd.Free, true
	case "sndbuf_lowat":
		return snd.LowWater, true
	case "sndbuf_high":
		return snd.HighWater, true
	case "snd_wnd":
		return snd.Window, true
	case "rcvbuf_size":
		return rcv.Size, true
	case "rcvbuf_queued":
		return rcv.Queued, true
	case "rcvbuf_free":
		return rcv.Free, true
	case "rcvbuf_lowat":
		return rcv.LowWater, true
	case "rcvbuf_high":
		return rcv.HighWater, true
	case "rcv_wnd":
		return rcv.Window, true
	}
	return 0, false
}
