package api

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// ParseJSON reads a socket that AppendJSON has written, many times faster than
// encoding/json, and one in any other form as that does.
func (s *Socket) ParseJSON(b []byte) error {
	if s.parsePlain(b) {
		return nil
	}
	*s = Socket{}
	return json.Unmarshal(b, s)
}

// parsePlain reads one without buffers, info and account, in the form that
// AppendJSON gives it; false for all others, with s half filled.
func (s *Socket) parsePlain(b []byte) bool {
	for _, f := range []struct {
		name     string
		into     *string
		optional bool
	}{{`{"protocol":"`, &s.Protocol, false}, {`,"state":"`, &s.State, true}, {`,"local":"`, &s.Local, false}, {`,"remote":"`, &s.Remote, true}} {
		rest, ok := bytes.CutPrefix(b, []byte(f.name))
		if !ok && f.optional {
			continue
		}
		i := bytes.IndexByte(rest, '"')
		if !ok || i < 0 {
			return false
		}
		for _, c := range rest[:i] {
			if c < ' ' || c > '~' || c == '\\' {
				return false
			}
		}
		*f.into, b = string(rest[:i]), rest[i+1:]
	}
	for _, f := range []struct {
		name string
		into *int
		end  byte
	}{{`,"recvQ":`, &s.RecvQ, ','}, {`,"sendQ":`, &s.SendQ, '}'}} {
		rest, ok := bytes.CutPrefix(b, []byte(f.name))
		i := bytes.IndexByte(rest, f.end)
		if !ok || i <= 0 || i > 1 && (rest[0] == '0' || rest[0] == '-' && rest[1] == '0') || rest[0] == '+' {
			return false
		}
		n, err := strconv.Atoi(string(rest[:i]))
		if err != nil {
			return false
		}
		*f.into, b = n, rest[i:]
	}
	return string(b) == "}"
}
