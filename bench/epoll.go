//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Clients that drive many sockets from one thread with as few system calls as
// it takes. With a goroutine for each, the client would cost as much as the
// server it measures.

// poll is an edge-triggered epoll instance.
type poll struct {
	fd     int
	events [128]unix.EpollEvent
}

func newPoll() (*poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &poll{fd: fd}, os.NewSyscallError("epoll_create1", err)
}

// dial begins to connect; the socket is writable when it is connected.
func (p *poll) dial(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sockaddr(sutAddr(port, false))); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, errors.Join(os.NewSyscallError("connect", err), unix.Close(fd))
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return -1, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(fd))
	}
	return fd, nil
}

// run hands every event to its socket until ctx ends.
func (p *poll) run(ctx context.Context, event func(fd int) error) error {
	defer unix.Close(p.fd)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(p.fd, p.events[:], 50)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range p.events[:max(n, 0)] {
			if err := event(int(ev.Fd)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// visits connects, sends a byte, reads one, closes, and again, on N sockets at
// a time.
func visits(o order) (answer, error) {
	p, err := newPoll()
	if err != nil {
		return answer{}, err
	}
	asked := make(map[int]bool) // open sockets: have they sent their byte?
	port := 0
	begin := func() error {
		fd, err := p.dial(visitPort + port%visitPorts)
		port++
		asked[fd] = false
		return err
	}
	var done atomic.Int64
	var buf [1]byte
	event := func(fd int) error {
		if !asked[fd] {
			if _, err := unix.Write(fd, buf[:]); err != nil {
				return visitError("write", err)
			}
			asked[fd] = true
			return nil
		}
		n, err := unix.Read(fd, buf[:])
		if n != 1 {
			return visitError("read", err)
		}
		delete(asked, fd)
		if err := unix.Close(fd); err != nil {
			return err
		}
		done.Add(1)
		return begin()
	}
	return during(o, done.Load, func(ctx context.Context) error {
		for range o.N {
			if err := begin(); err != nil {
				return err
			}
		}
		return p.run(ctx, event)
	})
}

// visitError tells an event that came too early, which another follows, from
// a failure.
func visitError(op string, err error) error {
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err == nil:
		return fmt.Errorf("%s: connection closed", op)
	}
	return os.NewSyscallError(op, err)
}

// get asks for a page over and over on each of N connections.
func get(o order) (answer, error) {
	p, err := newPoll()
	if err != nil {
		return answer{}, err
	}
	request := []byte("GET / HTTP/1.1\r\nHost: " + sut4.Addr().String() + "\r\n\r\n")
	clients := make(map[int]*client)
	for range o.N {
		fd, err := p.dial(httpPort)
		if err != nil {
			return answer{}, err
		}
		clients[fd] = &client{}
	}
	var pages atomic.Int64
	return during(o, pages.Load, func(ctx context.Context) error {
		return p.run(ctx, func(fd int) error {
			c := clients[fd]
			whole := !c.asked
			if c.asked {
				var err error
				if whole, err = c.read(fd); err != nil {
					return err
				}
			}
			if !whole {
				return nil
			}
			if c.asked {
				pages.Add(1)
			}
			c.asked = true
			_, err := unix.Write(fd, request)
			return os.NewSyscallError("write", err)
		})
	})
}

// client is one HTTP connection with at most one answer in it.
type client struct {
	asked bool
	have  int
	buf   [4 * pageSize]byte
}

// read takes what has come and reports whether that completes the answer.
func (c *client) read(fd int) (bool, error) {
	n, err := unix.Read(fd, c.buf[c.have:])
	if n <= 0 {
		return false, visitError("read", err)
	}
	c.have += n
	length, err := responseLength(c.buf[:c.have])
	if err != nil || length == 0 || c.have < length {
		return false, err
	}
	c.have = 0
	return true, nil
}

// responseLength is the length of an HTTP response, headers included, or 0 as
// long as its headers are not all there.
func responseLength(b []byte) (int, error) {
	headers, _, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return 0, nil
	}
	if !bytes.HasPrefix(headers, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("not a page: %.60q", headers)
	}
	_, rest, _ := bytes.Cut(headers, []byte("\r\nContent-Length: "))
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return 0, fmt.Errorf("no usable Content-Length: %w", err)
	}
	return len(headers) + 4 + n, nil
}
