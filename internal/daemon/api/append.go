package api

import (
	"encoding/json"
	"math"
	"strconv"
)

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
	if s.Service != "" {
		b = appendString(append(b, `,"service":`...), s.Service)
	}
	b = strconv.AppendInt(append(b, `,"recvQ":`...), int64(s.RecvQ), 10)
	b = strconv.AppendInt(append(b, `,"sendQ":`...), int64(s.SendQ), 10)
	if s.Send != nil {
		b = s.Send.appendJSON(append(b, `,"send":`...))
	}
	if s.Receive != nil {
		b = s.Receive.appendJSON(append(b, `,"receive":`...))
	}
	if len(s.Info) > 0 {
		b = s.Info.appendJSON(append(b, `,"info":`...))
	}
	if s.Holdup != nil {
		b = s.Holdup.appendJSON(append(b, `,"holdup":`...))
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

func appendInt(b []byte, name string, v int) []byte {
	return strconv.AppendInt(append(b, name...), int64(v), 10)
}

func (s *SendBuffer) appendJSON(b []byte) []byte {
	b = appendInt(b, `{"size":`, s.Size)
	b = appendInt(b, `,"queued":`, s.Queued)
	b = appendInt(b, `,"unsent":`, s.Unsent)
	b = appendInt(b, `,"free":`, s.Free)
	return append(appendInt(b, `,"window":`, s.Window), '}')
}

func (r *ReceiveBuffer) appendJSON(b []byte) []byte {
	b = appendInt(b, `{"size":`, r.Size)
	b = appendInt(b, `,"queued":`, r.Queued)
	b = appendInt(b, `,"free":`, r.Free)
	b = appendInt(b, `,"window":`, r.Window)
	if r.Dropped != 0 {
		b = strconv.AppendUint(append(b, `,"dropped":`...), r.Dropped, 10)
	}
	return append(b, '}')
}

func (h *Holdup) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"verdict":`...), h.Verdict)
	b = appendFloat(append(b, `,"seconds":`...), h.Seconds)
	b = appendFloat(append(b, `,"application":`...), h.Application)
	b = appendFloat(append(b, `,"sendBuffer":`...), h.SendBuffer)
	b = appendFloat(append(b, `,"congestion":`...), h.Congestion)
	b = appendFloat(append(b, `,"peerWindow":`...), h.PeerWindow)
	b = appendFloat(append(b, `,"device":`...), h.Device)
	b = appendFloat(append(b, `,"other":`...), h.Other)
	return append(b, '}')
}

// appendFloat appends a number as encoding/json does, which takes another form
// for the very small and the very large.
func appendFloat(b []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) || v != v {
		return appendValue(b, v)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}
