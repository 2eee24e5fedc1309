package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tapstack/internal/daemon/api"
	"tapstack/internal/daemon/client"
	"tapstack/internal/ssfilter"
	"tapstack/internal/top"
)

func topCommand() *cobra.Command {
	o := top.Batch{Options: top.Options{Interval: time.Second}}
	var batch, once bool
	cmd := &cobra.Command{
		Use:   "top [flags] [FILTER]",
		Short: "Watch the sockets: both buffers as bars, rates, what holds each up",
		Long: `Watch the sockets of a running daemon's stack on a full screen: both buffers as
bars, what passes each, and what holds it up. Keys: h for help, q to quit.

FILTER is ss's, as for "tapstack ss". The daemon sends only what is shown. With
NO_COLOR in the environment there are no colours.`,
		Example: `  tapstack top
  tapstack top -s sendq -b -n 1 state established
  tapstack top --json -d 5 | jq '.sockets[0].rates'`,
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.VarP(seconds{&o.Interval}, "delay", "d", "`seconds` between two looks")
	fl.StringVarP(&o.Sort, "sort", "s", api.Sorts[0], "sort by `what`: "+strings.Join(api.Sorts, ", "))
	fl.BoolVarP(&o.Reverse, "reverse", "r", false, "sort the other way round")
	fl.BoolVarP(&o.TCP, "tcp", "t", false, "TCP sockets")
	fl.BoolVarP(&o.UDP, "udp", "u", false, "UDP sockets")
	fl.BoolVarP(&batch, "batch", "b", false, "print text, a look after the other, instead of a full screen")
	fl.IntVarP(&o.Count, "iterations", "n", 0, "stop after `n` looks; with -b or --json")
	fl.BoolVar(&once, "once", false, "one look: -b -n 1")
	fl.IntVar(&o.Limit, "limit", 0, fmt.Sprintf("at most `n` sockets, with -b or --json (default %d)", api.MaxWatched))
	fl.BoolVar(&o.JSON, "json", false, "print each look as a line of JSON")
	socket := socketFlag(cmd)
	cmd.RunE = asking(socket, func(ctx context.Context, c *client.Client, args []string) error {
		o.Filter = strings.Join(args, " ")
		if err := checkTop(&o); err != nil {
			return &usageError{err}
		}
		if once {
			batch, o.Count = true, 1
		}
		out := cmd.OutOrStdout()
		if batch || o.JSON {
			o.Width = textWidth(out)
			return o.Run(ctx, c, out)
		}
		if !isTerminal(out) {
			return &usageError{errors.New("top: this is no terminal: use -b for text or --json")}
		}
		return top.Run(ctx, c, &o.Options)
	})
	cmd.ValidArgsFunction = completeFilter
	completeFlag(cmd, "sort", oneOf(api.Sorts...))
	return cmd
}

// checkTop refuses what the daemon would, before the screen is cleared.
func checkTop(o *top.Batch) error {
	if _, err := ssfilter.Parse(o.Filter); err != nil {
		return fmt.Errorf("top: %w", err)
	}
	switch {
	case !slices.Contains(api.Sorts, o.Sort):
		return fmt.Errorf("-s %s: want one of %s", o.Sort, strings.Join(api.Sorts, ", "))
	case o.Interval < 50*time.Millisecond:
		return errors.New("-d: at least 0.05 seconds")
	case o.Count < 0 || o.Limit < 0 || o.Limit > api.MaxWatched:
		return fmt.Errorf("-n: not below 0; --limit: from 0 to %d", api.MaxWatched)
	}
	return nil
}

// textWidth is how wide text may be: as the terminal, as $COLUMNS says, or
// enough for most.
func textWidth(w io.Writer) int {
	const enough = 120
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return enough
}
