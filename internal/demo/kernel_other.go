//go:build !linux

package demo

import "errors"

func newKernelHost(string) (host, error) {
	return nil, errors.New("the kernel's sockets are looked into on Linux only")
}
