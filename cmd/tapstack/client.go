package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"tapstack/internal/cli"
	"tapstack/internal/daemon"
	"tapstack/internal/daemon/client"
)

// socketFlag adds --socket to a command that asks a daemon.
func socketFlag(cmd *cobra.Command) *string {
	path := os.Getenv("TAPSTACK_SOCKET")
	if path == "" {
		path = daemon.DefaultSocket
	}
	s := cmd.Flags().String("socket", path, "the daemon's control socket: a `path`; $TAPSTACK_SOCKET sets the default")
	_ = cmd.MarkFlagFilename("socket") // it exists: the line above
	return s
}

// asking is a command's run function: it gives run a client for the daemon and
// a context that ends with SIGINT or SIGTERM.
func asking(socket *string, run func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		// Gone in a moment: collecting what a long answer leaves is not worth it.
		debug.SetGCPercent(800)
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		c := client.New(*socket)
		defer c.Close()
		err := run(ctx, c, args)
		var usage *cli.UsageError
		if errors.As(err, &usage) {
			return &usageError{usage}
		}
		return err
	}
}

// printJSON writes one value for a program.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func ssCommand() *cobra.Command {
	var o cli.SS
	var numeric bool
	cmd := &cobra.Command{
		Use:   "ss [flags] [FILTER]",
		Short: "List the stack's sockets, with both buffers and what holds each up",
		Long: `List the sockets of a running daemon's stack, as ss(8) lists the kernel's.

FILTER is ss's: "state established", "exclude time-wait", "sport = :80",
"dst 10.0.0.0/8", "( sport = :80 or sport = :443 ) and not src 10.0.0.1".

Recv-Q and Send-Q are payload bytes: received and not read, written and not
acknowledged. With -i a connection that keeps account (services.accounting, or
"tapstack set accounting=on") also says what holds it up. Timers (-o) are
reckoned from the last segment.`,
		Example: `  tapstack ss -tmi
  tapstack ss -ta state established 'sport = :80 and dst 192.168.77.0/24'`,
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVarP(&o.TCP, "tcp", "t", false, "TCP sockets")
	fl.BoolVarP(&o.UDP, "udp", "u", false, "UDP sockets")
	fl.BoolVarP(&o.All, "all", "a", false, "listening and other sockets")
	fl.BoolVarP(&o.Listening, "listening", "l", false, "listening sockets only")
	fl.BoolVarP(&numeric, "numeric", "n", false, "ports as numbers, as they always are here")
	fl.BoolVarP(&o.Memory, "memory", "m", false, "both buffers: queued, size, window")
	fl.BoolVarP(&o.Info, "info", "i", false, "tcp_info, and what holds the connection up")
	fl.BoolVarP(&o.Timers, "options", "o", false, "the timer that runs")
	fl.BoolVarP(&o.Services, "processes", "p", false, "the service, forward or proxy that each belongs to")
	fl.BoolVarP(&o.NoHeader, "no-header", "H", false, "no header line")
	fl.BoolVar(&o.JSON, "json", false, "print everything that is known as JSON")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Filter = args
		return o.Run(ctx, c, cmd.OutOrStdout())
	})
	cmd.ValidArgsFunction = completeFilter
	return cmd
}
