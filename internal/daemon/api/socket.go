package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Socket is one socket. Of a listener there are no buffers.
type Socket struct {
	Protocol string `json:"protocol"`         // "tcp" or "udp"
	State    string `json:"state,omitempty"`  // TCP's, as RFC 9293 has it
	Local    string `json:"local"`            // "address:port", "*:port" for any address
	Remote   string `json:"remote,omitempty"` // none unless connected

	// RecvQ and SendQ are what ss(8) shows under these heads, in payload
	// bytes: acknowledged and not read, written and not acknowledged.
	RecvQ int `json:"recvQ"`
	SendQ int `json:"sendQ"`

	Send    *SendBuffer    `json:"send,omitempty"`
	Receive *ReceiveBuffer `json:"receive,omitempty"`
	Info    Fields         `json:"info,omitempty"`
	Holdup  *Holdup        `json:"holdup,omitempty"`
}

// SendBuffer is a connection's send buffer, in payload bytes.
type SendBuffer struct {
	Size   int `json:"size"`
	Queued int `json:"queued"`
	Unsent int `json:"unsent"`
	Free   int `json:"free"`
	Window int `json:"window"` // the peer's
}

// ReceiveBuffer is a socket's receive buffer, in payload bytes.
type ReceiveBuffer struct {
	Size    int    `json:"size"`
	Queued  int    `json:"queued"`
	Free    int    `json:"free"`
	Window  int    `json:"window"`            // ours, TCP's
	Dropped uint64 `json:"dropped,omitempty"` // datagrams that found it full
}

// Holdup is what has held a connection up since it is kept account of. Shares
// are of Watched.
type Holdup struct {
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"` // watched

	Application float64 `json:"application"`
	SendBuffer  float64 `json:"sendBuffer"`
	Congestion  float64 `json:"congestion"`
	PeerWindow  float64 `json:"peerWindow"`
	Device      float64 `json:"device"`
	Other       float64 `json:"other"`
}

// Fields are named numbers in an order: the JSON is an object. They are tcp_info's, by
// Linux's names and in its units.
type Fields []Field

// Field is one of Fields.
type Field struct {
	Name  string
	Value int64
}

// Get is a field by its name.
func (f Fields) Get(name string) (int64, bool) {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value, true
		}
	}
	return 0, false
}

// MarshalJSON implements json.Marshaler.
func (f Fields) MarshalJSON() ([]byte, error) {
	return f.appendJSON(make([]byte, 0, 2+32*len(f))), nil
}

func (f Fields) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, one := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, one.Name)
		b = append(b, ':')
		b = strconv.AppendInt(b, one.Value, 10)
	}
	return append(b, '}')
}

var errFields = errors.New("want an object of whole numbers")

// UnmarshalJSON implements json.Unmarshaler. It is written out because a list
// of ten thousand sockets has a quarter of a million fields.
func (f *Fields) UnmarshalJSON(b []byte) error {
	*f = nil
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	b, ok := bytes.CutPrefix(b, []byte{'{'})
	if !ok {
		return errFields
	}
	out := make(Fields, 0, bytes.Count(b, []byte{':'}))
	for b = bytes.TrimLeft(b, space); len(b) > 0 && b[0] != '}'; {
		var one Field
		if one, b, ok = cutField(b); !ok {
			return errFields
		}
		out = append(out, one)
		if rest, more := bytes.CutPrefix(b, []byte{','}); more {
			b = bytes.TrimLeft(rest, space)
		}
	}
	*f = out
	return nil
}

const space = " \t\r\n"

// cutField takes "name": number off the start of b, which is valid JSON.
func cutField(b []byte) (one Field, rest []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte{'"'})
	i := bytes.IndexByte(b, '"')
	if !ok || i < 0 || bytes.IndexByte(b[:i], '\\') >= 0 {
		return one, nil, false
	}
	one.Name = string(b[:i])
	b, ok = bytes.CutPrefix(bytes.TrimLeft(b[i+1:], space), []byte{':'})
	b = bytes.TrimLeft(b, space)
	i = bytes.IndexAny(b, ",}"+space)
	if !ok || i < 0 {
		return one, nil, false
	}
	v, err := strconv.ParseInt(string(b[:i]), 10, 64)
	one.Value = v
	return one, bytes.TrimLeft(b[i:], space), err == nil
}

// AppendJSON appends the socket as encoding/json would write it, faster.
func (s *Socket) AppendJSON(b []byte) []byte {
	b = appendString(append(b, `{"protocol":`...), s.Protocol)
	if s.State != "" {
		b = appendString(append(b, `,"state":`...), s.State)
	}
	b = appendString(append(b, `,"local":`...), s.Local)
	if s.Remote != "" {
		b = appendString(append(b, `,"remote":`...), s.Remote)
	}
	b = strconv.AppendInt(append(b, `,"recvQ":`...), int64(s.RecvQ), 10)
	b = strconv.AppendInt(append(b, `,"sendQ":`...), int64(s.SendQ), 10)
	if s.Send != nil {
		b = appendValue(append(b, `,"send":`...), s.Send)
	}
	if s.Receive != nil {
		b = appendValue(append(b, `,"receive":`...), s.Receive)
	}
	if len(s.Info) > 0 {
		b = s.Info.appendJSON(append(b, `,"info":`...))
	}
	if s.Holdup != nil {
		b = appendValue(append(b, `,"holdup":`...), s.Holdup)
	}
	return append(b, '}')
}

// appendString appends text as a JSON string.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return appendValue(b, text)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// appendValue appends what cannot fail to be JSON.
func appendValue(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, j...)
}
