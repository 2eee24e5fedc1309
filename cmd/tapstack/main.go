// Command tapstack runs a userspace TCP/IP stack on a TAP device.
//
// It parses, calls and prints; what it does is in internal/daemon.
//
// Exit status: 0 for success; 2 if there is something to change in what it was
// given or on the machine, said in one line; 1 for any other failure. A second
// SIGTERM or SIGINT ends it as if nobody had caught it: a shell shows 128+n.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tapstack/internal/cli"
	"tapstack/internal/daemon"
	"tapstack/internal/daemon/client"
	"tapstack/internal/demo"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	statusOK      = 0
	statusFailure = 1
	statusUsage   = 2
)

// run is main with its surroundings as arguments. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	// An error before any command has begun is about the command line.
	begun := false
	root := &cobra.Command{
		Use:               "tapstack",
		Short:             "A userspace TCP/IP stack on a TAP device, with buffers you can see",
		SilenceErrors:     true, // one line, below
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { begun = true },
		CompletionOptions: cobra.CompletionOptions{}, // bash, zsh, fish
	}
	root.AddCommand(
		runCommand(), checkCommand(), reloadCommand(), stopCommand(), setCommand(), eventsCommand(), servicesCommand(),
		ssCommand(), ipCommand(), pingCommand(), ncCommand(), nstatCommand(), captureCommand(), topCommand(),
		demoCommand(), doctorCommand(), drillCommand(), versionCommand(),
	)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	err := root.Execute()
	if err == nil {
		return statusOK
	}
	if errors.Is(err, cli.ErrNegative) {
		return statusFailure // and what was printed has said so
	}
	// cobra's suggestions, and whatever an error may quote, have line breaks.
	fmt.Fprintln(stderr, "tapstack:", strings.Join(strings.Fields(err.Error()), " "))
	var config *daemon.ConfigError
	var usage *usageError
	var noTAP *demo.NoTAPError
	if !begun || errors.Is(err, client.ErrNoDaemon) || errors.As(err, &config) || errors.As(err, &usage) || errors.As(err, &noTAP) {
		return statusUsage
	}
	return statusFailure
}
