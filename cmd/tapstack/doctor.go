package main

import (
	"context"
	"errors"
	"io"
	"os/exec"

	"github.com/spf13/cobra"

	"tapstack/internal/doctor"
)

// errNoTAP: the report says why.
var errNoTAP = errors.New("no TAP can be had here")

// helperFlag makes the program the doctor's helper. It is nobody else's.
const helperFlag = "helper"

func doctorCommand() *cobra.Command {
	var asJSON, helper bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this kernel, device and user can do, and what to change",
		Long: `Finds out what this kernel, device and user can do, what of it is active and
what to change. It tries everything in a private network namespace, changes
nothing and leaves nothing behind.

The exit status is 0 if a TAP can be had in some way, 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if helper {
				return doctor.Helper(c.OutOrStdout())
			}
			return runDoctor(c.Context(), c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON and nothing else")
	c.Flags().BoolVar(&helper, helperFlag, false, "")
	_ = c.Flags().MarkHidden(helperFlag) // it exists: the line above
	return c
}

func runDoctor(ctx context.Context, stdout io.Writer, asJSON bool) error {
	report := doctor.Run(ctx, doctor.Config{Helper: doctorHelper})
	write := report.WriteText
	if asJSON {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if !report.OK {
		return errNoTAP
	}
	return nil
}

// doctorHelper is this program again. It is found without a path, which an
// ordinary user may not see. (It runs on Linux only, as namespaces do.)
func doctorHelper(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, "/proc/self/exe", "doctor", "--"+helperFlag)
}
