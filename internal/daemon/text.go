package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tapstack/stack"
)

// parsePrefixes reads a list of addresses and enters them in taken.
func parsePrefixes(texts []string, where string, taken map[netip.Addr]string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, &ConfigError{where, err}
		}
		if first, twice := taken[p.Addr()]; twice {
			at := ""
			if first != where {
				at = ", first at " + first
			}
			return nil, configErrorf(where, "address %s is given twice%s: leave one out", p.Addr(), at)
		}
		taken[p.Addr()] = where
		out = append(out, p)
	}
	return out, nil
}

// parsePrefix reads a host's address with the length of its network's prefix.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, e := netip.ParseAddr(text); err != nil && e == nil && a.Zone() == "" {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		return p, fmt.Errorf("address %s lacks its prefix length: write it as %s/%d", a, a, bits)
	}
	if err != nil {
		return p, fmt.Errorf("%q is not an address with a prefix length: write one such as 192.168.77.2/24 or fd00:77::2/64", text)
	}
	switch a := p.Addr(); {
	case a.Is4In6():
		return p, fmt.Errorf("address %s is IPv4 written as IPv6: write it as %s", p, a.Unmap())
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return p, fmt.Errorf("address %s is not a host's: give one such as 192.168.77.2/24", p)
	}
	return p, nil
}

// parseRoute reads "PREFIX via ADDRESS", or "default via ADDRESS". The
// neighbour has to be on the network of one of the NIC's addresses.
func parseRoute(text string, nic []netip.Prefix) (r stack.Route, err error) {
	fields := strings.Fields(text)
	if len(fields) != 3 || fields[1] != "via" {
		return r, fmt.Errorf("route %q: write it as \"10.0.0.0/8 via 192.168.77.1\" or \"default via 192.168.77.1\"", text)
	}
	if r.Via, err = netip.ParseAddr(fields[2]); err != nil {
		return r, fmt.Errorf("route %q: %q is not an address: give a neighbour's, such as 192.168.77.1", text, fields[2])
	}
	if fields[0] == "default" {
		r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if r.Via.Is4() {
			r.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
	} else if r.Dst, err = netip.ParsePrefix(fields[0]); err != nil {
		return r, fmt.Errorf("route %q: %q is not a prefix: write one such as 10.0.0.0/8", text, fields[0])
	}
	if r.Dst.Addr().Is4() != r.Via.Is4() {
		return r, fmt.Errorf("route %q mixes IPv4 and IPv6: use a neighbour of the prefix's family", text)
	}
	if r.Dst != r.Dst.Masked() {
		return r, fmt.Errorf("route %q: %s has bits beyond its prefix: write %s", text, r.Dst, r.Dst.Masked())
	}
	for _, p := range nic {
		if p.Contains(r.Via) {
			return r, nil
		}
	}
	return r, fmt.Errorf("route %q: %s is on no network of this NIC: use a neighbour", text, r.Via)
}

// parseSpin reads how long a reader spins: 0 is the default, less than 0 never.
func parseSpin(text string) (time.Duration, error) {
	switch text {
	case "":
		return 0, nil
	case "never":
		return -1, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("spin: %q: write a time such as \"100us\", or \"never\"", text)
	}
	return d, nil
}

// parseListen reads where a service listens, such as ":80", "192.168.77.2:80"
// or "[fd00:77::2]:80". Without an address it is the unspecified one.
func parseListen(text string) (netip.AddrPort, error) {
	const want = "write one such as \":80\" or \"192.168.77.2:80\""
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address with a port: %s", text, want)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if errors.Is(err, strconv.ErrRange) {
		return netip.AddrPort{}, fmt.Errorf("port %s is out of range: choose one from 0 to 65535", port)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port number: %s", port, want)
	}
	a := netip.IPv6Unspecified()
	if host != "" {
		if a, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not an IP address: %s", host, want)
		}
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// nearest is the name among known that text was probably meant to be, "" if
// it resembles none.
func nearest(text string, known []string) string {
	best, bestName := len(text)/2+1, ""
	for _, name := range known {
		if d := editDistance(strings.ToLower(text), name); d < best {
			best, bestName = d, name
		}
	}
	return bestName
}

// editDistance is Levenshtein's: how many letters to insert, delete or change.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
