//go:build !linux

package rawlink

import (
	"errors"
	"fmt"

	"tapstack/tap"
)

func open(int) (near, far tap.Device, err error) {
	return nil, nil, fmt.Errorf("packet sockets: %w", errors.ErrUnsupported)
}
