package api

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ParseJSON reads a socket that AppendJSON has written, many times faster than
// encoding/json, and one in any other form as that does. The socket's texts
// share one piece of memory.
func (s *Socket) ParseJSON(b []byte) error {
	c := cursor{rest: string(b), ok: true}
	if c.socket(s); c.ok && c.rest == "" {
		return nil
	}
	*s = Socket{}
	return json.Unmarshal(b, s)
}

// cursor takes the parts of a text in the form that AppendJSON gives it; ok
// turns false at anything else, and everything read means nothing then.
type cursor struct {
	rest string
	ok   bool
}

// maybe takes text if it is next.
func (c *cursor) maybe(text string) (found bool) {
	c.rest, found = strings.CutPrefix(c.rest, text)
	return found
}

func (c *cursor) need(text string) { c.ok = c.maybe(text) && c.ok }

// text takes what is before a quote, without the quote.
func (c *cursor) text() string {
	i := strings.IndexByte(c.rest, '"')
	if i < 0 {
		c.ok = false
		return ""
	}
	text := c.rest[:i]
	for k := range len(text) {
		if b := text[k]; b < ' ' || b > '~' || b == '\\' {
			c.ok = false
		}
	}
	c.rest = c.rest[i+1:]
	return text
}

// number takes what is before a comma or a brace.
func (c *cursor) number() string {
	i := 0
	for i < len(c.rest) && c.rest[i] != ',' && c.rest[i] != '}' {
		i++
	}
	text := c.rest[:i]
	digits := strings.TrimPrefix(text, "-")
	// What strconv takes and JSON does not, and what JSON has in other forms.
	if digits == "" || digits[0] < '0' || digits[0] > '9' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' || text == "-0" {
		c.ok = false
	}
	c.rest = c.rest[i:]
	return text
}

func (c *cursor) integer() int64 {
	v, err := strconv.ParseInt(c.number(), 10, 64)
	c.ok = c.ok && err == nil
	return v
}

// whole is a number by its name.
func (c *cursor) whole(name string) int {
	c.need(name)
	return int(c.integer())
}

func (c *cursor) float(name string) float64 {
	c.need(name)
	text := c.number()
	for k := range len(text) {
		if b := text[k]; b != '.' && b != '-' && (b < '0' || b > '9') {
			c.ok = false
		}
	}
	if strings.HasSuffix(text, ".") {
		c.ok = false
	}
	v, err := strconv.ParseFloat(text, 64)
	c.ok = c.ok && err == nil
	return v
}

func (c *cursor) socket(s *Socket) {
	c.need(`{"protocol":"`)
	s.Protocol = c.text()
	if c.maybe(`,"state":"`) {
		s.State = c.text()
	}
	c.need(`,"local":"`)
	s.Local = c.text()
	if c.maybe(`,"remote":"`) {
		s.Remote = c.text()
	}
	if c.maybe(`,"service":"`) {
		s.Service = c.text()
	}
	s.RecvQ = c.whole(`,"recvQ":`)
	s.SendQ = c.whole(`,"sendQ":`)
	if c.maybe(`,"send":`) {
		s.Send = c.sendBuffer()
	}
	if c.maybe(`,"receive":`) {
		s.Receive = c.receiveBuffer()
	}
	if c.maybe(`,"info":{`) {
		s.Info = c.fields()
	}
	if c.maybe(`,"holdup":`) {
		s.Holdup = c.holdup()
	}
	c.need("}")
}

func (c *cursor) sendBuffer() *SendBuffer {
	b := &SendBuffer{
		Size: c.whole(`{"size":`), Queued: c.whole(`,"queued":`), Unsent: c.whole(`,"unsent":`),
		Free: c.whole(`,"free":`), Window: c.whole(`,"window":`),
	}
	c.need("}")
	return b
}

func (c *cursor) receiveBuffer() *ReceiveBuffer {
	b := &ReceiveBuffer{
		Size: c.whole(`{"size":`), Queued: c.whole(`,"queued":`), Free: c.whole(`,"free":`), Window: c.whole(`,"window":`),
	}
	if c.maybe(`,"dropped":`) {
		v := c.integer()
		c.ok = c.ok && v >= 0
		b.Dropped = uint64(v)
	}
	c.need("}")
	return b
}

func (c *cursor) fields() Fields {
	out := make(Fields, 0, 28) // as many as there are
	for mark := `"`; c.ok && !c.maybe("}"); mark = `,"` {
		c.need(mark)
		name := c.text()
		c.need(":")
		out = append(out, Field{name, c.integer()})
	}
	return out
}

func (c *cursor) holdup() *Holdup {
	c.need(`{"verdict":"`)
	h := &Holdup{
		Verdict: c.text(), Seconds: c.float(`,"seconds":`),
		Application: c.float(`,"application":`), SendBuffer: c.float(`,"sendBuffer":`),
		Congestion: c.float(`,"congestion":`), PeerWindow: c.float(`,"peerWindow":`),
		Device: c.float(`,"device":`), Other: c.float(`,"other":`),
	}
	c.need("}")
	return h
}
