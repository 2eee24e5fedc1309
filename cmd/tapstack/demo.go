package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tapstack/internal/demo"
	"tapstack/internal/netns"
)

// errDidNotHold: the story was told, and something in it was not true.
var errDidNotHold = errors.New("not every check held")

func demoCommand() *cobra.Command {
	var (
		device string
		bytes  int64
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch the stack and the kernel talk, and see who has the bytes",
		Long: `Makes a private network namespace with a TAP device, starts a userspace stack
with its services on one side and drives them from the kernel's own sockets on
the other. Nothing outside the namespace is touched.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.OutOrStdout(), device, bytes, asJSON)
		},
	}
	c.Flags().StringVar(&device, "device", "", `"tap", or "pipe" for two stacks without the kernel (default: tap if there can be one)`)
	c.Flags().Int64Var(&bytes, "bytes", 1_000_000_000, "how much the long parts move in each direction")
	c.Flags().BoolVar(&asJSON, "json", false, "print the checks as JSON and nothing else")
	return c
}

func runDemo(stdout io.Writer, device string, bytes int64, asJSON bool) error {
	if device != "" && device != "tap" && device != "pipe" {
		return &usageError{fmt.Errorf("--device %q: want tap or pipe", device)}
	}
	if bytes <= 0 {
		return &usageError{fmt.Errorf("--bytes %d: want more than 0", bytes)}
	}
	cfg := demo.Config{Device: device, Bytes: bytes, Out: stdout, Progress: isTerminal(stdout)}
	if asJSON {
		cfg.Out, cfg.Progress = io.Discard, false
	}
	if device != "pipe" {
		cfg.NoTAP = netns.Enter()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := demo.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	}
	if !report.OK {
		return errDidNotHold
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usageError is a mistake in the command line that cobra cannot see.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }
