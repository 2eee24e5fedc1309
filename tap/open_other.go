//go:build !linux

package tap

import "fmt"

func open(cfg *Config) (*device, error) {
	if err := onlyDefaults(cfg); err != nil {
		return nil, err
	}
	rwc, name, err := openWater()
	if err != nil {
		return nil, fmt.Errorf("no TAP: %w", err)
	}
	d := newDevice(name, cfg.mtu(), "plain", "offloads are a matter of Linux")
	q := newStreamQueue(d, rwc)
	d.add(q, &q.counters, rwc)
	return d, nil
}
