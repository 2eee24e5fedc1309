package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/filter"
	"tapstack/tap/capture"
)

// Capture writes what passes a link to w as pcapng, until a limit is reached,
// ctx is done, the link is gone, or w fails.
func (n *Node) Capture(ctx context.Context, q *api.CaptureQuery, w io.Writer) error {
	dev, err := n.device(q.Link)
	if err != nil {
		return err
	}
	cfg := &capture.Config{SnapLen: q.SnapLen, MaxBytes: q.Bytes, MaxFrames: q.Count}
	switch q.Direction {
	case "", "inout", "any":
	case "in", "inbound":
		cfg.Direction = capture.Inbound
	case "out", "outbound":
		cfg.Direction = capture.Outbound
	default:
		return api.Errorf(http.StatusBadRequest, "parameter \"direction\": want in, out or inout")
	}
	f, err := filter.Parse(q.Filter)
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "filter: %v", err)
	}
	if !f.All() {
		cfg.Filter = f.Match
	}
	if err := cfg.Validate(); err != nil {
		return api.Errorf(http.StatusBadRequest, "%v", err)
	}
	c, err := dev.Start(w, cfg)
	if err != nil {
		return err
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
	}
	_, err = c.Stop()
	return err
}

func (n *Node) device(name string) (*capture.Device, error) {
	nic, err := n.nic(name)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.devices {
		if d.Name() == nic.Name() {
			return d, nil
		}
	}
	return nil, fmt.Errorf("link %q: no capture: %w", nic.Name(), syscall.EOPNOTSUPP)
}
