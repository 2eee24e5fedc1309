package control

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"tapstack/internal/daemon/api"
)

// FuzzRequest: whatever the parameters and the body are, they are taken or
// refused with a status of their own, in one line.
func FuzzRequest(f *testing.F) {
	f.Add("tcp=true&state=LISTEN&state=x&info=1", []byte(`{"link":"tap0","mtu":1500,"enabled":true}`))
	f.Add("link=t&count=5&bytes=7&snaplen=1&direction=in&filter=tcp+port+80", []byte(`{"logLevel":"debug","tcp":{"a":"b"}}`))
	f.Add("to=::1&interval=1s&size=-1&timeout=5m&count=1", []byte(`{"destination":"::/0","via":"::1","link":""}`))
	f.Add("network=tcp&address=%5b::1%5d:5&listen=true&%zz", []byte(`[1,2`))
	f.Fuzz(func(t *testing.T, raw string, body []byte) {
		for _, q := range []any{&api.SocketQuery{}, &api.WatchQuery{}, &api.EventQuery{}, &api.CaptureQuery{}, &api.PingQuery{}, &api.ConnectQuery{}} {
			check(t, readQuery(raw, q))
		}
		for _, v := range []any{&api.LinkChange{}, &api.Address{}, &api.Route{}, &api.Neighbour{}, &api.Settings{}} {
			check(t, readBody(bytes.NewReader(body), v))
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	var e *api.Error
	if err != nil && (!errors.As(err, &e) || e.Status != http.StatusBadRequest) {
		t.Errorf("%v: no bad request", err)
	}
}
