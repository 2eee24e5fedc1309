package daemon

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Ready is what a daemon that has started tells.
type Ready struct {
	NICs     []NICConfig
	Services []ServiceAddr
	Proxies  []ProxyAddr
	Control  string         // the control socket's path, "" for none
	Metrics  netip.AddrPort // invalid for none
}

// Print writes it for a human, with commands to try.
func (r *Ready) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "tapstack is up until you press Ctrl-C\n\n")
	for _, n := range r.NICs {
		fmt.Fprintf(t, "NIC %s\tMTU %d\n", n.Name, n.MTU)
		fmt.Fprintf(t, "  ours\t%s\n", list(n.Address))
		if len(n.Host) > 0 {
			fmt.Fprintf(t, "  the kernel's\t%s\n", list(n.Host))
		}
		for _, route := range n.Routes {
			fmt.Fprintf(t, "  route\t%s via %s\n", route.Dst, route.Via)
		}
	}
	for i, a := range r.Services {
		if i == 0 {
			fmt.Fprintf(t, "services\n")
		}
		fmt.Fprintf(t, "  %s\t%s %s\n", a.Name, a.Addr.Network(), a.Addr)
	}
	for i, a := range r.Proxies {
		if i == 0 {
			fmt.Fprintf(t, "forwards and proxies\n")
		}
		at := a.Addr.Network() + " " + a.Addr.String()
		if a.Stack {
			at += " in the stack"
		}
		if a.Target != "" {
			at += " -> " + a.Target
		}
		fmt.Fprintf(t, "  %s\t%s\n", a.Section, at)
	}
	if r.Control != "" {
		fmt.Fprintf(t, "control\t%s\n", r.Control)
	}
	if r.Metrics.IsValid() {
		fmt.Fprintf(t, "metrics\thttp://%s/metrics\n", r.Metrics)
	}
	fmt.Fprintf(t, "\ntry\n")
	for _, line := range r.examples() {
		fmt.Fprintf(t, "  %s\n", line)
	}
	return t.Flush()
}

// list is the addresses in one cell.
func list(ps []netip.Prefix) string {
	var texts []string
	for _, p := range ps {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "  ")
}

// examples are commands that reach what is running, from the kernel's side.
func (r *Ready) examples() []string {
	main := r.NICs[0].Address[0].Addr()
	lines := []string{"ping " + main.String()}
	for _, a := range r.Services {
		ap, err := addrPortOf(a.Addr)
		if err != nil || a.Addr.Network() != "tcp" {
			continue
		}
		at := ap.Addr()
		if at.IsUnspecified() {
			at = main
		}
		port := strconv.Itoa(int(ap.Port()))
		if a.Name != "http" {
			lines = append(lines, fmt.Sprintf("nc %s %s\t# %s", at, port, a.Name))
			continue
		}
		host := strings.TrimSuffix(net.JoinHostPort(at.String(), port), ":80")
		lines = append(lines, fmt.Sprintf("curl http://%s/", host))
	}
	return append(lines, r.proxyExamples(main)...)
}

// proxyExamples reach what is in the stack's network, through the proxies.
func (r *Ready) proxyExamples(main netip.Addr) (lines []string) {
	target := main.String()
	if len(r.NICs[0].Host) > 0 {
		target = r.NICs[0].Host[0].Addr().String()
	}
	scheme := map[string]string{sectionSOCKS5: "socks5h", sectionHTTPProxy: "http"}
	for _, a := range r.Proxies {
		if scheme[a.Section] == "" {
			continue
		}
		ap, err := addrPortOf(a.Addr)
		if err != nil {
			continue
		}
		if ap.Addr().IsUnspecified() {
			ap = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
		}
		lines = append(lines, fmt.Sprintf("curl --proxy %s://%s http://%s/", scheme[a.Section], ap, strings.TrimSuffix(net.JoinHostPort(target, "80"), ":80")))
	}
	return lines
}
