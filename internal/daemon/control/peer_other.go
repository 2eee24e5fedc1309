//go:build !linux

package control

import (
	"errors"
	"net"
)

// peerOf is Linux's.
func peerOf(*net.UnixConn) (Credentials, error) {
	return Credentials{}, errors.New("who connects to the control socket can be told on Linux only")
}
