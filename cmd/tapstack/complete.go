package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tapstack/internal/daemon/client"
	"tapstack/internal/ssfilter"
)

// completer offers what an argument may become.
type completer = func(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective)

// beginning is those of words that begin with text, in either case.
func beginning(words []string, text string) (out []cobra.Completion) {
	for _, w := range words {
		if len(w) >= len(text) && strings.EqualFold(w[:len(text)], text) {
			out = append(out, w)
		}
	}
	return out
}

// oneOf offers words.
func oneOf(words ...string) completer {
	return func(_ *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return beginning(words, text), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag has a flag that exists completed.
func completeFlag(cmd *cobra.Command, flag string, f completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // there is no such flag
	}
}

// patience is how long who presses Tab waits for a daemon.
const patience = 2 * time.Second

// askingDaemon offers what a daemon answers, nothing without one.
func askingDaemon(socket *string, words func(ctx context.Context, c *client.Client) []string) completer {
	return func(cmd *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), patience)
		defer cancel()
		c := client.New(*socket)
		defer c.Close()
		return beginning(words(ctx, c), text), cobra.ShellCompDirectiveNoFileComp
	}
}

// linkNames are those of the stack's NICs.
func linkNames(ctx context.Context, c *client.Client) (out []string) {
	links, _ := c.Links(ctx) // nothing to offer
	for _, l := range links {
		out = append(out, l.Name)
	}
	return out
}

// completeSettings offers names of settings, then the values that a name has.
func completeSettings(socket *string) completer {
	values := map[string][]string{"log-level": {"debug", "info", "warn", "error"}, "accounting": {"on", "off"}}
	return func(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		words := func(ctx context.Context, c *client.Client) []string {
			names := []string{"accounting=", "log-level="}
			name, _, valued := strings.Cut(text, "=")
			if list := values[name]; valued && list != nil {
				names = nil
				for _, v := range list {
					names = append(names, name+"="+v)
				}
				return names
			}
			now, _ := c.Settings(ctx) // the others are not offered
			for _, n := range slices.Sorted(maps.Keys(now.TCP)) {
				if valued && n == name {
					return []string{n + "=" + now.TCP[n]}
				}
				names = append(names, n+"=")
			}
			return names
		}
		out, directive := askingDaemon(socket, words)(cmd, args, text)
		return out, directive | cobra.ShellCompDirectiveNoSpace
	}
}

// completeFilter offers ss's states after state and exclude, else what a filter
// begins with.
func completeFilter(_ *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	words := []string{"state", "exclude", "sport", "dport", "src", "dst"}
	if n := len(args); n > 0 && (args[n-1] == "state" || args[n-1] == "exclude") {
		words = []string{"all", "connected", "synchronized", "bucket", "big"}
		for _, s := range ssfilter.AllStates {
			words = append(words, strings.ToLower(s))
		}
	}
	return beginning(words, text), cobra.ShellCompDirectiveNoFileComp
}
