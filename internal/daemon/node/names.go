package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"tapstack/internal/daemon/api"
)

// address is what text stands for: an address, or a name, of which the first
// one of the network's family is taken. network is "ip", "ip4" or "ip6"; "" is
// "ip".
func (n *Node) address(ctx context.Context, parameter, network, text string) (netip.Addr, error) {
	switch network {
	case "":
		network = "ip"
	case "ip", "ip4", "ip6":
	default:
		return netip.Addr{}, api.Errorf(http.StatusBadRequest, "parameter \"network\": want ip, ip4 or ip6")
	}
	a, err := netip.ParseAddr(text)
	if err == nil && (network == "ip" || a.Unmap().Is4() == (network == "ip4")) {
		return a.Unmap(), nil
	}
	if err == nil || text == "" || n.resolver == nil {
		return a, api.Errorf(http.StatusBadRequest, "parameter %q: %q is no address of that family, nor a name that can be looked up", parameter, text)
	}
	found, err := n.resolver.LookupNetIP(ctx, network, text)
	if err != nil {
		return a, lookupError(err)
	}
	return found[0], nil
}

// lookupError is err with a status that fits, if it is about a name.
func lookupError(err error) error {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return err
	case dns.IsNotFound:
		return api.Errorf(http.StatusNotFound, "%s: %s", dns.Name, dns.Err)
	case dns.IsTimeout:
		return api.Errorf(http.StatusGatewayTimeout, "%s: no name server answers", dns.Name)
	}
	return api.Errorf(http.StatusBadGateway, "%s: %s", dns.Name, dns.Err)
}
