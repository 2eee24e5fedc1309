package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapstack/internal/daemon/api"
)

// client speaks HTTP to the server.
func (s *serving) client(t testing.TB) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func (s *serving) ask(t testing.TB, method, path, body string) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, b
}

func TestRequests(t *testing.T) {
	f := newFake()
	s := serve(t, f, Access{Owner: owner}, root)
	on := true
	for _, c := range []struct {
		method, path, body string
		status             int
		asked              any    // what the backend got
		want               string // in the answer
	}{
		{"GET", "/v1/info", "", 200, nil, `"mayChange":true`},
		{"GET", "/v1/sockets?tcp=true&state=LISTEN&state=CLOSED&info=1", "", 200, api.SocketQuery{TCP: true, States: []string{"LISTEN", "CLOSED"}, Info: true}, "192.0.2.1:80"},
		{"PATCH", "/v1/links", `{"link":"tap0","enabled":true}`, 204, api.LinkChange{Link: "tap0", Enabled: &on}, ""},
		{"POST", "/v1/addresses", `{"link":"tap0","address":"192.0.2.9/24"}`, 204, api.Address{Link: "tap0", Address: "192.0.2.9/24"}, ""},
		{"DELETE", "/v1/routes", `{"destination":"::/0","link":"tap0"}`, 204, api.Route{Destination: "::/0", Link: "tap0"}, ""},
		{"POST", "/v1/reload", "", 200, "reload", `"restart":["nic.tap0.mtu"]`},
		{"GET", "/v1/capture?count=3&filter=tcp+port+80", "", 200, api.CaptureQuery{Count: 3, Filter: "tcp port 80"}, "pcapng"},
		{"GET", "/v1/ping?to=192.0.2.2&interval=20ms", "", 200, api.PingQuery{To: "192.0.2.2", Interval: 20 * time.Millisecond}, `"sequence":1`},

		{"GET", "/v1/nothing", "", 404, nil, "there is no /v1/nothing"},
		{"GET", "/v2/info", "", 404, nil, "there is no"},
		{"PUT", "/v1/info", "", 405, nil, "does not take PUT"},
		{"GET", "/v1/info?x=1", "", 400, nil, `there is no parameter \"x\"`},
		{"GET", "/v1/sockets?tcp=maybe", "", 400, nil, "want true or false"},
		{"GET", "/v1/sockets?tcp=1&tcp=0", "", 400, nil, "given twice"},
		{"GET", "/v1/sockets?%zz", "", 400, nil, "invalid URL escape"},
		{"GET", "/v1/capture?count=-1", "", 400, nil, "want a number"},
		{"GET", "/v1/ping?interval=soon", "", 400, nil, "want a time"},
		{"GET", "/v1/stats/watch?interval=1ns", "", 400, nil, "at least 10ms"},
		{"POST", "/v1/addresses", `{"link":"tap0","colour":"x"}`, 400, nil, "unknown field"},
		{"POST", "/v1/addresses", `{"link":"tap0"} {}`, 400, nil, "nothing behind it"},
		{"POST", "/v1/addresses", `{"link":`, 400, nil, "body"},
		{"POST", "/v1/addresses", `[]`, 400, nil, "body"},
		{"POST", "/v1/addresses", "", 400, nil, "body"},
		{"POST", "/v1/addresses", `{"link":"` + strings.Repeat("x", maxBody) + `"}`, 413, nil, "a body of more than 65536 bytes"},
		{"GET", "/v1/info?" + strings.Repeat("x", maxQuery+1), "", 414, nil, "more than 4096 bytes"},
		{"POST", "/v1/connect?network=tcp&address=x", "", 426, nil, "upgraded to tapstack-frames/1"},
	} {
		f.asked = nil
		status, answer := s.ask(t, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(string(answer), c.want) {
			t.Errorf("%s %.60s: %d %s\nwant %d %s", c.method, c.path, status, answer, c.status, c.want)
		}
		if got := f.last(); !reflect.DeepEqual(got, c.asked) {
			t.Errorf("%s %.60s: the backend got %+v, want %+v", c.method, c.path, got, c.asked)
		}
	}
}

// TestErrors: an errno has its status and its name, and so has an *api.Error.
func TestErrors(t *testing.T) {
	f := newFake()
	s := serve(t, f, Access{Owner: owner}, root)
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{fmt.Errorf("address: %w", syscall.EEXIST), 409, `{"error":{"code":"EEXIST","message":"address: file exists"}}`},
		{syscall.ENODEV, 404, `"code":"ENODEV"`},
		{&os.SyscallError{Syscall: "x", Err: syscall.EPERM}, 403, `"code":"EPERM"`},
		{api.Errorf(422, "no %s", "way"), 422, `{"error":{"message":"no way"}}`},
		{errors.New("broken"), 500, `{"error":{"message":"broken"}}`},
	} {
		f.err = c.err
		status, answer := s.ask(t, "POST", "/v1/reload", "")
		if status != c.status || !strings.Contains(string(answer), c.want) {
			t.Errorf("%v: %d %s, want %d %s", c.err, status, answer, c.status, c.want)
		}
	}
}

func TestAccess(t *testing.T) {
	group := uint32(77)
	for _, c := range []struct {
		a    Access
		who  Credentials
		want access
	}{
		{Access{Owner: owner}, root(), accessChange},
		{Access{Owner: owner}, Credentials{UID: owner}, accessChange},
		{Access{Owner: owner}, nobody(), accessNone},
		{Access{Owner: owner, Others: true}, nobody(), accessLook},
		{Access{Owner: owner, Group: &group}, nobody(), accessNone},
		{Access{Owner: owner, Group: &group}, Credentials{UID: 5, GID: 77}, accessChange},
		{Access{Owner: owner, Group: &group, Others: true}, Credentials{UID: 5, GID: 5, Groups: []uint32{4, 77}}, accessChange},
		{Access{Owner: owner, Group: &group, Others: true}, Credentials{UID: 5, GID: 5, Groups: []uint32{4, 7}}, accessLook},
		// Root's group is not root.
		{Access{Owner: owner}, Credentials{UID: 5, GID: 0}, accessNone},
	} {
		if got := c.a.of(&c.who); got != c.want {
			t.Errorf("%+v, %+v: %d, want %d", c.a, c.who, got, c.want)
		}
	}
}

// TestWhoMayChange asks every route as somebody who may only look, and as
// somebody who may do nothing.
func TestWhoMayChange(t *testing.T) {
	f := newFake()
	s := serve(t, f, Access{Owner: owner, Others: true}, nobody)
	for i := range routes {
		r := &routes[i]
		if r.stream && !r.change {
			continue // lasts
		}
		status, answer := s.ask(t, r.method, r.path, "{}")
		if got := status == http.StatusForbidden; got != r.change {
			t.Errorf("%s %s: %d %s", r.method, r.path, status, answer)
		}
	}
	if _, answer := s.ask(t, "GET", "/v1/info", ""); !strings.Contains(string(answer), `"mayChange":false`) {
		t.Errorf("%s", answer)
	}
	s.SetAccess(Access{Owner: owner})
	if status, answer := s.ask(t, "GET", "/v1/info", ""); status != http.StatusForbidden {
		t.Errorf("who may do nothing: %d %s", status, answer)
	}
}
