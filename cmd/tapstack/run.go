package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tapstack/internal/daemon"
)

func runCommand() *cobra.Command {
	var file, socket string
	var f daemon.Flags
	cmd := &cobra.Command{
		Use:   "run [-c FILE | --nic NAME --address PREFIX ...]",
		Short: "Run a stack and its services in the foreground, until SIGINT or SIGTERM",
		Long: `Run a stack and its services in the foreground, until SIGINT or SIGTERM.

It makes a TAP in this network namespace, which takes root or CAP_NET_ADMIN,
and answers on it with addresses of its own; with --adopt it uses one that an
administrator has made, for which its owner needs no privilege. A first signal closes every
connection properly, for five seconds at most; a second one ends at once.`,
		Example: `  tapstack run --nic tap0 --address 192.168.77.2/24 --host 192.168.77.1/24 --echo :7 --http :80
  tapstack run --nic tap7 --adopt --address 192.168.77.2/24 --echo :7
  tapstack run -c /etc/tapstack.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configuration(cmd, file, &f)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("socket") {
				if err := cfg.SetSocket(socket); err != nil {
					return err
				}
			}
			return runDaemon(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVarP(&file, "config", "c", "", "read a TOML `file` instead of the flags below")
	fl.StringVar(&f.NIC, "nic", "", "`name` of the TAP to make")
	fl.StringSliceVar(&f.Address, "address", nil, "our address with its `prefix` length; repeat for more")
	fl.StringSliceVar(&f.Host, "host", nil, "the same for the kernel's end; without one it is left alone")
	fl.IntVar(&f.MTU, "mtu", 1500, "IP MTU in `bytes`")
	fl.BoolVar(&f.Adopt, "adopt", false, "take over the TAP of that name, with its MTU, and leave it when done")
	fl.IntVar(&f.Queues, "queues", 1, "`number` of the TAP's queues")
	fl.BoolVar(&f.Plain, "plain", false, "do without offloads, by the portable driver")
	fl.StringVar(&f.Spin, "spin", "", "how long a reader looks again before it sleeps: a `time` such as 50us, or never (default 100us)")
	fl.StringSliceVar(&f.Routes, "route", nil, "a `route`, such as \"default via 192.168.77.1\"; repeat for more")
	fl.StringVar(&f.Services.Echo, "echo", "", "where to echo TCP and UDP, such as `:7`")
	fl.StringVar(&f.Services.Discard, "discard", "", "where to read and forget, such as `:9`")
	fl.StringVar(&f.Services.Chargen, "chargen", "", "where to write until the peer closes, such as `:19`")
	fl.StringVar(&f.Services.HTTP, "http", "", "where to serve a status page, such as `:80`")
	fl.StringVar(&socket, "socket", "", "where to be controlled: a `path` for the control socket, in place of the file's")
	return cmd
}

// configuration is the file's or the flags', whichever was given.
func configuration(cmd *cobra.Command, file string, f *daemon.Flags) (*daemon.Config, error) {
	flags := cmd.Flags()
	if !flags.Changed("config") {
		if f.Adopt && !flags.Changed("mtu") {
			f.MTU = 0
		}
		return f.Config()
	}
	others := flags.NFlag() - 1
	if flags.Changed("socket") {
		others--
	}
	if others > 0 {
		return nil, &daemon.ConfigError{Where: "-c", Err: errors.New("settings come from a file or from flags, not both: leave out one")}
	}
	return daemon.Load(file)
}

// runDaemon runs until the first signal, or ends the program at the second.
func runDaemon(ctx context.Context, cfg *daemon.Config, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer close(signals)
	defer signal.Stop(signals)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if sig, ok := <-signals; ok {
			// The kernel closes what we have not: the TAP is not persistent.
			n, _ := sig.(syscall.Signal)
			os.Exit(128 + int(n))
		}
	}()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	d := daemon.Daemon{
		Config: cfg,
		Log:    slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}), // the daemon's own level decides
		Ready: func(r *daemon.Ready) {
			_ = r.Print(stdout) // nobody there to read it is no reason to end
		},
		Reload: reload,
	}
	return d.Run(ctx)
}
