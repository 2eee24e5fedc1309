package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sockets = []Socket{
	{},
	{Protocol: "udp", Local: "*:7"},
	{Protocol: "tcp", State: "LISTEN", Local: "[::1]:7", Service: "forward.web", RecvQ: -1, SendQ: 1 << 40},
	{Protocol: "tcp", Local: "[fe80::1%a\"b\\c<\x01é]:7", Remote: "192.0.2.1:2",
		Send:    &SendBuffer{1, 2, 3, 4, 5},
		Receive: &ReceiveBuffer{Size: 1, Queued: 2, Free: 3, Window: 4, Dropped: 5},
		Info:    Fields{{"tcpi_rtt", -1}, {"odd \" name", 1 << 62}},
		Holdup:  &Holdup{Verdict: "the peer: (97% of 1s)", Seconds: 1.5, PeerWindow: 0.97}},
}

// TestSocketJSON: written by hand it is what encoding/json writes, and what it
// reads back.
func TestSocketJSON(t *testing.T) {
	for _, s := range sockets {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.AppendJSON(nil); !bytes.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if strings.Contains(string(want), "odd") {
			continue // names have no quotes in them, and are refused with any
		}
		var back Socket
		if err := json.Unmarshal(want, &back); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%+v reads back as %+v, %v", s, back, err)
		}
	}
}

// TestParseQuickly: what the daemon writes is read by hand and not by
// encoding/json, whatever there is of a socket.
func TestParseQuickly(t *testing.T) {
	for _, s := range []Socket{
		{Protocol: "udp", Local: "*:7", Receive: &ReceiveBuffer{Size: 1, Queued: 2, Free: 3, Window: 4, Dropped: 5}},
		{Protocol: "tcp", State: "ESTABLISHED", Local: "[::1]:7", Remote: "192.0.2.1:2", Service: "echo", RecvQ: 7, SendQ: 8,
			Send: &SendBuffer{1, 2, 3, 4, 5}, Receive: &ReceiveBuffer{Size: 1}, Info: Fields{{"tcpi_rtt", -1}, {"tcpi_rto", 1 << 62}},
			Holdup: &Holdup{Verdict: "the peer: its window (97% of 1s)", Seconds: 1.5, PeerWindow: 0.97, Congestion: 0.00001}},
	} {
		c, got := cursor{rest: string(s.AppendJSON(nil)), ok: true}, Socket{}
		if c.socket(&got); !c.ok || c.rest != "" || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v reads back as %+v, rest %q", s, got, c.rest)
		}
	}
}

// FuzzParse: read by hand a socket is what encoding/json reads.
func FuzzParse(f *testing.F) {
	for _, s := range sockets {
		f.Add(s.AppendJSON(nil))
	}
	f.Add([]byte(`{"protocol":"tcp","local":"x","recvQ":-0,"sendQ":01}`))
	f.Add([]byte(`{"protocol":"tcp","local":"x","recvQ":0,"sendQ":1,"info":{"a":1,"b":-2},"holdup":{"verdict":"x","seconds":1.50,"application":-0.5,"sendBuffer":0,"congestion":0,"peerWindow":0.,"device":00.1,"other":0}}`))
	f.Add([]byte(`{"protocol":"udp","local":"x","recvQ":0,"sendQ":1,"receive":{"size":1,"queued":0,"free":1,"window":0,"dropped":18446744073709551615}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got, want Socket
		err, wantErr := got.ParseJSON(b), json.Unmarshal(b, &want)
		if (err != nil) != (wantErr != nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", b, got, err, want, wantErr)
		}
	})
}

func TestFieldsJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		want Fields // nil: an error
	}{
		{`{}`, Fields{}},
		{` { "a" : 1 , "b":-2 } `, Fields{{"a", 1}, {"b", -2}}},
		{`{"a":1.5}`, nil}, {`{"a":"1"}`, nil}, {`{"a":null}`, nil}, {`[1]`, nil}, {`5`, nil}, {`{"a\"":1}`, nil},
		{`{"a":99999999999999999999}`, nil}, {`{"a":{}}`, nil},
	} {
		var got Fields
		err := json.Unmarshal([]byte(c.text), &got)
		if (err != nil) != (c.want == nil) || err == nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.text, got, err, c.want)
		}
	}
	if v, ok := (Fields{{"a", 7}}).Get("a"); v != 7 || !ok {
		t.Errorf("%d, %v", v, ok)
	}
	if _, ok := (Fields{{"a", 7}}).Get("b"); ok {
		t.Error("found what is not there")
	}
}

func FuzzFields(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a" : -1 , "b" :2}`, `{"":0}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Fields
		if json.Unmarshal(b, &got) != nil {
			return
		}
		var want map[string]int64
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%s: taken as %v, and is none: %v", b, got, err)
		}
		for _, one := range got {
			if _, ok := want[one.Name]; !ok && !strings.Contains(one.Name, "\ufffd") && json.Valid([]byte(`"`+one.Name+`"`)) && strings.ToValidUTF8(one.Name, "") == one.Name {
				t.Errorf("%s: %q is not there", b, one.Name)
			}
		}
	})
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	w := NewFrameWriter(&b)
	large := bytes.Repeat([]byte("x"), MaxFrame)
	for _, p := range [][]byte{{}, []byte("hello"), large} {
		if err := w.Write(FrameData, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(FrameEnd, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(FrameData, make([]byte, MaxFrame+1)); err == nil {
		t.Error("wrote a frame that is too long")
	}
	buf := make([]byte, MaxFrame)
	for _, want := range [][]byte{{}, []byte("hello"), large} {
		typ, p, err := ReadFrame(&b, buf)
		if typ != FrameData || !bytes.Equal(p, want) || err != nil {
			t.Errorf("%d, %d bytes, %v", typ, len(p), err)
		}
	}
	if typ, p, err := ReadFrame(&b, buf); typ != FrameEnd || len(p) != 0 || err != nil {
		t.Errorf("%d, %q, %v", typ, p, err)
	}
	if _, _, err := ReadFrame(&b, buf); err != io.EOF { //nolint:errorlint // bare, as documented
		t.Errorf("at the end: %v", err)
	}
	for _, c := range []struct{ bytes, want string }{
		{"\x03", "unexpected EOF"}, {"\x03\x00\x00\x01", "unexpected EOF"}, {"\x03\x00\x00\x02x", "unexpected EOF"},
		{"\x00\x00\x00\x00", "unknown type 0"}, {"\x06\x00\x00\x00", "unknown type 6"},
		{"\x03\x01\x00\x01", "at most 65536"}, {"\x04\x00\x00\x01x", "an end with 1 bytes"},
	} {
		_, _, err := ReadFrame(strings.NewReader(c.bytes), buf)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.bytes, err, c.want)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x03\x00\x00\x05hello\x04\x00\x00\x00"))
	f.Add([]byte("\x05\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, buf := bytes.NewReader(b), make([]byte, MaxFrame)
		var again bytes.Buffer
		w := NewFrameWriter(&again)
		for {
			typ, p, err := ReadFrame(r, buf)
			if err != nil {
				break
			}
			if err := w.Write(typ, p); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("%x was read, and is written as %x", b, again.Bytes())
		}
	})
}

func TestErrorf(t *testing.T) {
	var e *Error
	if err := error(Errorf(404, "no %d", 5)); !errors.As(err, &e) || e.Status != 404 || err.Error() != "no 5" {
		t.Errorf("%+v", err)
	}
}
