package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tapstack/internal/cli"
	"tapstack/internal/daemon"
	"tapstack/internal/daemon/client"
)

// jsonFlag adds --json; the function prints JSON if it was given, and is nil if
// not.
func jsonFlag(cmd *cobra.Command) func() func(any) error {
	on := cmd.Flags().Bool("json", false, "print JSON and nothing else")
	return func() func(any) error {
		if !*on {
			return nil
		}
		return func(v any) error { return printJSON(cmd.OutOrStdout(), v) }
	}
}

func checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration file without running anything",
		Args:  cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return &usageError{fmt.Errorf("-c: which file?")}
		}
		cfg, err := daemon.Load(file)
		if show := asJSON(); show != nil {
			result := map[string]any{"ok": err == nil}
			if err != nil {
				result["error"] = err.Error()
			}
			if e := show(result); e != nil {
				return e
			}
			return err
		}
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s\n", file, cfg.Summary())
		}
		return err
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the `file`")
	_ = cmd.MarkFlagFilename("config", "toml") // it exists: the line above
	return cmd
}

func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration file again",
		Long: `Have the daemon read its configuration file again, as SIGHUP does. What can
change does so without dropping a connection; what cannot is named; with a file
that is wrong everything stays as it is.`,
		Args: cobra.NoArgs,
	}
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, _ []string) error {
		return cli.Reload(ctx, c, asJSON(), cmd.OutOrStdout())
	})
	return cmd
}

func stopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the daemon, and wait until it has closed its connections",
		Args:  cobra.NoArgs,
	}
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, _ []string) error {
		err := c.Stop(ctx)
		if show := asJSON(); err == nil && show != nil {
			return show(map[string]bool{"stopped": true})
		}
		return err
	})
	return cmd
}

func setCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set [NAME=VALUE ...]",
		Short: "Show or change what can be changed while the daemon runs",
		Long: `Show the settings that can be changed while the daemon runs, or change some:
all of those given, or with a mistake among them none.

log-level is debug, info, warn or error. accounting is on or off: whether the
services' connections keep book of what holds them up. The others are TCP
settings by Linux's sysctl names, for sockets made from now on.`,
		Example: `  tapstack set log-level=debug accounting=on
  tapstack set net.ipv4.tcp_rmem="4096 65536 1048576"`,
	}
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		return cli.Set(ctx, c, args, asJSON(), cmd.OutOrStdout())
	})
	cmd.ValidArgsFunction = completeSettings(socket)
	return cmd
}

func servicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "List services, forwards and proxies, and what they have done",
		Long: `List services, forwards and proxies: where each listens, how many connections it
has open and has had, and bytes from clients and to them. One that is retired is
in the configuration no more, or changed there: its connections go on.`,
		Args: cobra.NoArgs,
	}
	asJSON, socket := jsonFlag(cmd), socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, _ []string) error {
		return cli.Services(ctx, c, asJSON(), cmd.OutOrStdout())
	})
	return cmd
}

func eventsCommand() *cobra.Command {
	var level string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow the daemon's log",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&level, "level", "", "the least `level`: debug, info, warn or error")
	lines := cmd.Flags().Bool("json", false, "print each event as a line of JSON")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, _ []string) error {
		return cli.Events(ctx, c, level, lineJSON(cmd, lines), cmd.OutOrStdout())
	})
	return cmd
}
