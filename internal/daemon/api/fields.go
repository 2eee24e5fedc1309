package api

import (
	"bytes"
	"errors"
	"strconv"
)

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
