// Package client speaks to a daemon's control socket. It imports nothing of
// the stack.
//
//	c := client.New("/run/tapstack/control.sock")
//	sockets, err := c.Sockets(ctx, &api.SocketQuery{TCP: true})
//
// Errors are *api.Error for what the daemon refuses, and [ErrNoDaemon] where
// there is none.
//
// It has no goroutine beyond net/http's. To see what is said, use
// curl --unix-socket PATH http://localhost/v1/info.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"syscall"
	"time"

	"tapstack/internal/daemon/api"
)

// Client asks one daemon. Its methods are safe for concurrent use.
type Client struct {
	path string
	http *http.Client
}

// ErrNoDaemon is that nobody answers at the socket.
var ErrNoDaemon = errors.New("no daemon answers")

// New makes a client for the control socket at path. Nothing is asked yet.
func New(path string) *Client {
	var d net.Dialer
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
		DisableCompression:    true,
		ResponseHeaderTimeout: time.Minute,
		ReadBufferSize:        256 << 10,
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// explain says what a failure to reach the daemon is likely to be.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s: start one with a [control] section or --socket, or name its socket by --socket", ErrNoDaemon, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: you may not: be root or of the socket's group (%w)", c.path, fs.ErrPermission)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", c.path, u.Err)
	}
	return err
}

// request asks, and returns the answer if it is a success. query and body may
// be nil. The answer's body is the caller's to close.
func (c *Client) request(ctx context.Context, method, path string, query, body any, header http.Header) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: Values(query).Encode()}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	f := api.Failure{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&f); err != nil || f.Error.Message == "" {
		f.Error.Message = "the daemon answers " + resp.Status
	}
	f.Error.Status = resp.StatusCode
	return nil, &f.Error
}

// Values are the parameters of a query of package api; what is zero is left
// out.
func Values(query any) url.Values {
	out := url.Values{}
	v := reflect.Indirect(reflect.ValueOf(query))
	if !v.IsValid() {
		return out
	}
	for i := range v.NumField() {
		f := v.Field(i)
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch {
		case f.IsZero():
		case f.Kind() == reflect.Slice:
			for j := range f.Len() {
				out.Add(name, fmt.Sprint(f.Index(j)))
			}
		default:
			out.Set(name, fmt.Sprint(f))
		}
	}
	return out
}

// get asks for one JSON value.
func get[T any](ctx context.Context, c *Client, method, path string, query, body any) (out T, err error) {
	resp, err := c.request(ctx, method, path, query, body, nil)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("the daemon's answer: %w", err)
	}
	return out, nil
}

// do asks for something to be done.
func (c *Client) do(ctx context.Context, method, path string, body any) error {
	resp, err := c.request(ctx, method, path, nil, body, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// stream calls each for every JSON value of an answer.
func stream[T any](ctx context.Context, c *Client, path string, query any, each func(*T) error) error {
	resp, err := c.request(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var v T
		if err := d.Decode(&v); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		if err := each(&v); err != nil {
			return err
		}
	}
}
