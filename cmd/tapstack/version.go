package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of tapstack, of the stack inside and of Go",
		Args:  cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			info = &debug.BuildInfo{}
		}
		v := versionsOf(info)
		if show := asJSON(); show != nil {
			return show(v)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), v)
		return err
	}
	return cmd
}

// versions are of what was built into the program.
type versions struct {
	Tapstack string `json:"tapstack"`
	Commit   string `json:"commit,omitempty"` // as far as the build was told
	GVisor   string `json:"gvisor,omitempty"`
	Go       string `json:"go"`
}

func versionsOf(info *debug.BuildInfo) versions {
	v := versions{Tapstack: info.Main.Version, Go: info.GoVersion}
	if v.Tapstack == "" {
		v.Tapstack = "(unknown)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "gvisor.dev/gvisor" {
			v.GVisor = dep.Version
		}
	}
	return v
}

// String is a line each.
func (v versions) String() string {
	text := "tapstack " + v.Tapstack + "\n"
	if v.Commit != "" {
		text += "commit " + v.Commit + "\n"
	}
	if v.GVisor != "" {
		text += "gvisor " + v.GVisor + "\n"
	}
	return text + v.Go + "\n"
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
