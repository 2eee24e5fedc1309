package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
)

// IP are the arguments of tapstack ip, in the manner of ip(8):
//
//	addr|route|neigh|link [show [dev NIC]]
//	addr add|del PREFIX [dev NIC]
//	route add|del PREFIX|default [via ADDRESS] [dev NIC]
//	neigh add|del ADDRESS [lladdr MAC] [dev NIC]
//	link set NIC up|down|mtu N ...
type IP struct {
	V4, V6 bool // only that family
	Args   []string
	JSON   func(any) error
}

// objects are the objects of ip, each with its first letters' length that is
// enough to name it, as ip has it.
var objects = []string{"address", "route", "neighbour", "link"}

// Run shows or changes.
func (o *IP) Run(ctx context.Context, c *client.Client, w io.Writer) error {
	if len(o.Args) == 0 {
		return usagef("ip: want addr, route, neigh or link")
	}
	object := ""
	for _, name := range objects {
		if strings.HasPrefix(name, o.Args[0]) || o.Args[0] == "addr" && name == "address" || o.Args[0] == "neighbor" && name == "neighbour" {
			object = name
			break
		}
	}
	if object == "" {
		return usagef("ip: there is no object %q: want addr, route, neigh or link", o.Args[0])
	}
	verb, rest := "show", o.Args[1:]
	if len(rest) > 0 {
		verb, rest = rest[0], rest[1:]
	}
	switch verb {
	case "show", "list", "ls", "lst":
		return o.show(ctx, c, w, object, rest)
	case "add", "a", "del", "delete", "d":
		if object != "link" {
			return o.change(ctx, c, object, verb[0] == 'a', rest)
		}
	case "set":
		if object == "link" {
			return o.setLink(ctx, c, rest)
		}
	}
	return usagef("ip: %s: there is no %q", object, verb)
}

// keywords takes "dev NIC" and the like out of args; the one word that stands
// alone, or behind "to", is under "".
func keywords(args []string, known ...string) (map[string]string, error) {
	out := make(map[string]string)
	for i := 0; i < len(args); i++ {
		key, value := "", args[i]
		if slices.Contains(known, args[i]) || args[i] == "to" {
			if i++; i == len(args) {
				return nil, usagef("ip: %q wants something behind it", args[i-1])
			}
			if key, value = args[i-1], args[i]; key == "to" {
				key = ""
			}
		}
		if _, twice := out[key]; twice {
			return nil, usagef("ip: %q: unexpected", value)
		}
		out[key] = value
	}
	return out, nil
}

func (o *IP) change(ctx context.Context, c *client.Client, object string, add bool, args []string) error {
	switch object {
	case "address":
		k, err := keywords(args, "dev")
		if err != nil {
			return err
		}
		if k[""] == "" {
			return usagef("ip: addr: want an address such as 192.168.77.2/24")
		}
		do := c.RemoveAddress
		if add {
			do = c.AddAddress
		}
		return do(ctx, &api.Address{Link: k["dev"], Address: k[""]})
	case "route":
		k, err := keywords(args, "dev", "via")
		if err != nil {
			return err
		}
		dst, err := o.destination(k[""], k["via"])
		if err != nil {
			return err
		}
		do := c.RemoveRoute
		if add {
			do = c.AddRoute
		}
		return do(ctx, &api.Route{Destination: dst, Via: k["via"], Link: k["dev"]})
	default:
		k, err := keywords(args, "dev", "lladdr")
		if err != nil {
			return err
		}
		if k[""] == "" || add && k["lladdr"] == "" {
			return usagef("ip: neigh: want an address, and to add one lladdr MAC")
		}
		do := c.RemoveNeighbour
		if add {
			do = c.AddNeighbour
		}
		return do(ctx, &api.Neighbour{Link: k["dev"], Address: k[""], MAC: k["lladdr"]})
	}
}

// destination is a route's prefix: "default" is the one of via's family, an
// address alone that host.
func (o *IP) destination(text, via string) (string, error) {
	if text == "" {
		return "", usagef("ip: route: want a prefix such as 10.0.0.0/8, or default")
	}
	if text == "default" {
		if o.V6 || strings.Contains(via, ":") {
			return "::/0", nil
		}
		return "0.0.0.0/0", nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String(), nil
	}
	return text, nil
}

func (o *IP) setLink(ctx context.Context, c *client.Client, args []string) error {
	change := &api.LinkChange{}
	for i := 0; i < len(args); i++ {
		on := args[i] == "up"
		switch args[i] {
		case "up", "down":
			change.Enabled = &on
		case "dev":
		case "mtu":
			if i++; i == len(args) {
				return usagef("ip: mtu wants a number of bytes")
			}
			n, err := strconv.Atoi(args[i])
			if err != nil {
				return usagef("ip: mtu %q: want a number of bytes", args[i])
			}
			change.MTU = &n
		default:
			if change.Link != "" {
				return usagef("ip: link set: %q: want up, down or mtu N", args[i])
			}
			change.Link = args[i]
		}
	}
	if change.MTU == nil && change.Enabled == nil {
		return usagef("ip: link set: want up, down or mtu N")
	}
	return c.ChangeLink(ctx, change)
}

// shown reports whether something with an address is to be shown.
func (o *IP) shown(address string) bool {
	is6 := strings.Contains(address, ":")
	return (!o.V4 || !is6) && (!o.V6 || is6)
}

func (o *IP) show(ctx context.Context, c *client.Client, w io.Writer, object string, args []string) error {
	k, err := keywords(args, "dev")
	if err != nil {
		return err
	}
	dev := k["dev"] + k[""]
	not := func(link string) bool { return dev != "" && link != dev }
	switch object {
	case "link":
		list, err := c.Links(ctx)
		list = slices.DeleteFunc(list, func(l api.Link) bool { return not(l.Name) })
		return o.print(err, list, func() { printLinks(w, list, nil) })
	case "address":
		links, err := c.Links(ctx)
		if err != nil {
			return err
		}
		list, err := c.Addresses(ctx)
		list = slices.DeleteFunc(list, func(a api.Address) bool { return not(a.Link) || !o.shown(a.Address) })
		links = slices.DeleteFunc(links, func(l api.Link) bool { return not(l.Name) })
		return o.print(err, list, func() { printLinks(w, links, list) })
	case "route":
		list, err := c.Routes(ctx)
		list = slices.DeleteFunc(list, func(r api.Route) bool { return not(r.Link) || !o.shown(r.Destination) })
		return o.print(err, list, func() { printRoutes(w, list) })
	default:
		list, err := c.Neighbours(ctx)
		list = slices.DeleteFunc(list, func(n api.Neighbour) bool { return not(n.Link) || !o.shown(n.Address) })
		return o.print(err, list, func() { printNeighbours(w, list) })
	}
}

func (o *IP) print(err error, v any, text func()) error {
	if err == nil && o.JSON != nil {
		return o.JSON(v)
	}
	if err == nil {
		text()
	}
	return err
}

// printLinks prints links with their addresses, or with their counters if
// there are none to print.
func printLinks(w io.Writer, links []api.Link, addresses []api.Address) {
	for i, l := range links {
		flags := "BROADCAST,MULTICAST"
		state := "DOWN"
		if l.Enabled {
			flags += ",UP"
		}
		if l.Up {
			flags += ",LOWER_UP"
		}
		if l.Enabled && l.Up {
			state = "UP"
		}
		fmt.Fprintf(w, "%d: %s: <%s> mtu %d state %s\n    link/ether %s\n", i+1, l.Name, flags, l.MTU, state, l.Address)
		if addresses == nil {
			fmt.Fprintf(w, "    RX: %d bytes, %d frames, %d dropped\n", l.Rx.Bytes, l.Rx.Frames, l.Rx.Drops)
			fmt.Fprintf(w, "    TX: %d bytes, %d frames, %d dropped\n", l.Tx.Bytes, l.Tx.Frames, l.Tx.Drops)
		}
		for _, a := range addresses {
			if a.Link != l.Name {
				continue
			}
			family := "inet"
			if strings.Contains(a.Address, ":") {
				family = "inet6"
			}
			fmt.Fprintf(w, "    %s %s\n", family, a.Address)
		}
	}
}

func printRoutes(w io.Writer, list []api.Route) {
	for _, r := range list {
		dst := r.Destination
		if dst == "0.0.0.0/0" || dst == "::/0" {
			dst = "default"
		}
		if r.Via != "" {
			dst += " via " + r.Via
		}
		fmt.Fprintf(w, "%s dev %s\n", dst, r.Link)
	}
}

func printNeighbours(w io.Writer, list []api.Neighbour) {
	for _, n := range list {
		line := n.Address + " dev " + n.Link
		if n.MAC != "" {
			line += " lladdr " + n.MAC
		}
		fmt.Fprintln(w, line, strings.ToUpper(n.State))
	}
}
