package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of tapstack, of the stack inside and of Go",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			fmt.Fprint(cmd.OutOrStdout(), versions(info))
		},
	}
}

// versions is what was built into the program, a line each.
func versions(info *debug.BuildInfo) string {
	own := info.Main.Version
	if own == "" {
		own = "(unknown)"
	}
	text := "tapstack " + own + "\n"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += "commit " + s.Value + "\n"
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "gvisor.dev/gvisor" {
			text += "gvisor " + dep.Version + "\n"
		}
	}
	return text + info.GoVersion + "\n"
}

// built is the program's version and the commit that it was built from, as far
// as it was told.
func built() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}
