//go:build linux

package main

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"tapstack/socketapi"
)

// sendBatches returns a function that sends batch datagrams with one call, as
// the network's sockets offer it: UDPConn.WriteBatch, sendmmsg, or, where they
// have nothing of that kind, one Write after the other. It says how many were
// sent.
func sendBatches(c net.Conn) func() (int, error) {
	switch c := c.(type) {
	case *socketapi.UDPConn:
		msgs := make([]socketapi.Message, batch)
		for i := range msgs {
			msgs[i].Buffers = [][]byte{make([]byte, datagramSize)}
		}
		return func() (int, error) { return c.WriteBatch(msgs) }
	case *net.UDPConn:
		return sendmmsg(c)
	default:
		return sendSingly(c, batch)
	}
}

// sendSingly sends n datagrams with a Write each.
func sendSingly(c net.Conn, n int) func() (int, error) {
	buf := make([]byte, datagramSize)
	return func() (int, error) {
		for i := range n {
			if _, err := c.Write(buf); err != nil {
				return i, err
			}
		}
		return n, nil
	}
}

// sendmmsg is the system call, on a socket of package net.
func sendmmsg(c *net.UDPConn) func() (int, error) {
	d := new(datagrams)
	d.prepare(datagramSize)
	raw, err := c.SyscallConn()
	return func() (n int, _ error) {
		if err != nil {
			return 0, err
		}
		var failed error
		write := raw.Write(func(fd uintptr) bool {
			d.fd = int(fd)
			n, failed = d.transfer(unix.SYS_SENDMMSG, 0)
			return true
		})
		return n, errors.Join(write, failed)
	}
}
