//go:build !linux

package tap

import (
	"errors"
	"fmt"
	"runtime"
)

// onlyDefaults refuses what we could only do with netlink.
func onlyDefaults(cfg *Config) error {
	if cfg.Name != "" || cfg.mtu() != defaultMTU || len(cfg.Host) > 0 || cfg.HardwareAddr != nil || cfg.KeepDown {
		return fmt.Errorf("interfaces are not configured on %s: leave Config empty, and use the system's own tools (%w)", runtime.GOOS, errors.ErrUnsupported)
	}
	return nil
}
