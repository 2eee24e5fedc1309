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
	Control  string // the control socket's path, "" for none
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
	if r.Control != "" {
		fmt.Fprintf(t, "control\t%s\n", r.Control)
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
	return lines
}
