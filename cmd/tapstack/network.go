package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tapstack/internal/cli"
	"tapstack/internal/daemon/client"
)

func ipCommand() *cobra.Command {
	var o cli.IP
	cmd := &cobra.Command{
		Use:   "ip [flags] addr|route|neigh|link [COMMAND]",
		Short: "Show and change the stack's addresses, routes, neighbours and links",
		Long: `Show and change the stack's addresses, routes, neighbours and links, in the
manner of ip(8). It is the stack's end that changes, never the kernel's; what is
changed here is gone when the daemon is.`,
		Example: `  tapstack ip addr
  tapstack ip addr add 192.168.77.9/24 dev tap0
  tapstack ip route add default via 192.168.77.1
  tapstack ip neigh del 192.168.77.1
  tapstack ip link set tap0 mtu 1400 down`,
		ValidArgs: []string{"addr", "route", "neigh", "link"},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.V4, "4", "4", false, "IPv4 only")
	fl.BoolVarP(&o.V6, "6", "6", false, "IPv6 only")
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Args, o.JSON = args, asJSON()
		return o.Run(ctx, c, cmd.OutOrStdout())
	})
	return cmd
}

// lineJSON prints values as JSON, each on a line, as they come.
func lineJSON(cmd *cobra.Command, on *bool) func(any) error {
	if !*on {
		return nil
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode
}

// seconds is a flag that is a number of seconds, as ping's and nc's are, or a
// time with its unit.
type seconds struct{ d *time.Duration }

// String implements pflag.Value.
func (s seconds) String() string {
	if s.d == nil || *s.d == 0 {
		return ""
	}
	return s.d.String()
}

// Type implements pflag.Value.
func (s seconds) Type() string { return "seconds" }

// Set implements pflag.Value.
func (s seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || d <= 0 {
		return errors.New("want a number of seconds above 0, such as 0.2")
	}
	*s.d = d
	return nil
}

func pingCommand() *cobra.Command {
	var o cli.Ping
	var lines bool
	cmd := &cobra.Command{
		Use:   "ping [flags] ADDRESS",
		Short: "Ping from the stack",
		Long: `Ping an address from the stack, as iputils' ping does from the kernel. The exit
status is 1 if there was no reply.`,
		Args: cobra.ExactArgs(1),
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.IntVarP(&o.Count, "count", "c", 0, "stop after `n` requests")
	fl.VarP(seconds{&o.Interval}, "interval", "i", "`seconds` between requests (default 1)")
	fl.IntVarP(&o.Size, "size", "s", 56, "payload `bytes`")
	fl.VarP(seconds{&o.Timeout}, "timeout", "W", "`seconds` to wait for each reply (default 10)")
	fl.BoolVarP(&o.V4, "4", "4", false, "IPv4 only")
	fl.BoolVarP(&o.V6, "6", "6", false, "IPv6 only")
	fl.BoolVar(&lines, "json", false, "print each reply and the summary as a line of JSON")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.To, o.JSON = args[0], lineJSON(cmd, &lines)
		return o.Run(ctx, c, cmd.OutOrStdout())
	})
	return cmd
}

func nstatCommand() *cobra.Command {
	var o cli.Nstat
	cmd := &cobra.Command{
		Use:   "nstat [flags] [NAME ...]",
		Short: "Print the stack's counters, by the names that nstat(8) has for the kernel's",
		Long: `Print the stack's counters since it was made, or with --delta what they count
in each interval. Counters that are 0 are left out. NAME may have * and ? in it.`,
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVarP(&o.Zeros, "zeros", "z", false, "print counters that are 0 too")
	fl.VarP(seconds{&o.Interval}, "delta", "d", "print what changes every so many `seconds`")
	fl.IntVarP(&o.Count, "count", "c", 0, "stop after `n` intervals")
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Patterns, o.JSON = args, asJSON()
		if on := o.JSON != nil; on && o.Interval > 0 {
			o.JSON = lineJSON(cmd, &on)
		}
		return o.Run(ctx, c, cmd.OutOrStdout())
	})
	return cmd
}

func captureCommand() *cobra.Command {
	var o cli.Capture
	var file string
	var lines bool
	cmd := &cobra.Command{
		Use:   "capture [flags] [FILTER]",
		Short: "Capture what passes a NIC: as text, or as a pcapng file",
		Long: `Capture the frames that pass a NIC of the stack, until a limit or Ctrl-C: a line
each, or with -w a pcapng file for Wireshark and tcpdump.

FILTER is in tcpdump's language: hosts, nets, ports, portranges, protocols,
less, greater, tcp[13] & 2 != 0, and, or, not and parentheses. What it does not
know (vlan, gateway, names of hosts) is refused.`,
		Example: `  tapstack capture -w - | wireshark -k -i -
  tapstack capture -c 10 'tcp port 80 and not host 192.168.77.1'`,
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVarP(&o.Query.Link, "interface", "i", "", "the `NIC`; needed if there are several")
	fl.StringVarP(&file, "write", "w", "", "write pcapng to a `file`, - for stdout")
	fl.Uint64VarP(&o.Query.Count, "count", "c", 0, "stop after `n` frames")
	fl.IntVarP(&o.Query.SnapLen, "snaplen", "s", 0, "keep `bytes` of each frame (default all)")
	fl.Int64VarP(&o.Query.Bytes, "bytes", "C", 0, "stop before the file has more `bytes`")
	fl.StringVarP(&o.Query.Direction, "direction", "Q", "", "`in`, out or inout")
	fl.BoolVar(&lines, "json", false, "print each frame as a line of JSON")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Filter, o.JSON, o.Errs = args, lineJSON(cmd, &lines), cmd.ErrOrStderr()
		switch file {
		case "":
			return o.Print(ctx, c, cmd.OutOrStdout())
		case "-":
			if isTerminal(cmd.OutOrStdout()) {
				return &usageError{errors.New("-w -: a capture is not for a terminal: pipe it, or leave out -w for text")}
			}
			return o.Write(ctx, c, cmd.OutOrStdout())
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // packets are nobody else's business
		if err != nil {
			return &usageError{err}
		}
		if err := o.Write(ctx, c, f); err != nil {
			f.Close()
			return fmt.Errorf("%s: %w", file, err)
		}
		return f.Close()
	})
	completeFlag(cmd, "interface", askingDaemon(socket, linkNames))
	completeFlag(cmd, "direction", oneOf("in", "out", "inout"))
	return cmd
}

func ncCommand() *cobra.Command {
	var o cli.NC
	cmd := &cobra.Command{
		Use:   "nc [flags] ADDRESS PORT | nc -l [flags] [ADDRESS] PORT",
		Short: "Connect stdin and stdout with something in the stack's network",
		Long: `Connect stdin and stdout with something in the stack's network, by TCP or UDP,
as nc(1) does in the kernel's. The end of stdin is carried across as a FIN; it
ends when the other end has finished, or is reset.`,
		Example: `  echo hello | tapstack nc 192.168.77.1 7
  tapstack nc -l 8000 > file
  tapstack nc -zv 192.168.77.1 20-25`,
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVarP(&o.UDP, "udp", "u", false, "UDP")
	fl.BoolVarP(&o.Listen, "listen", "l", false, "wait for the other end to connect")
	fl.BoolVarP(&o.Scan, "zero", "z", false, "connect, say so, and send nothing; PORT may be a range")
	fl.VarP(seconds{&o.Wait}, "wait", "w", "give up after `seconds` to connect, and without any byte")
	fl.IntVarP(&o.Port, "port", "p", 0, "the `port` to connect from, or to listen on")
	fl.StringVarP(&o.Source, "source", "s", "", "the `address` to connect from")
	fl.BoolVarP(&o.Verbose, "verbose", "v", false, "say on stderr what happens")
	asJSON := fl.Bool("json", false, "with -z print each port as a line of JSON, otherwise say as JSON on stderr what happens")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Args = args
		if *asJSON {
			w := cmd.OutOrStdout()
			if !o.Scan {
				w = cmd.ErrOrStderr() // the other is for what comes
			}
			o.JSON = json.NewEncoder(w).Encode
		}
		return o.Run(ctx, c, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	return cmd
}
