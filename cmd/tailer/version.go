package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  "Print the version, the Go version it was built with, and the system it was built for.",
		Example: `  tailer version
  tailer version --output json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := versionAnswer{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			return a.print(output, []string{fmt.Sprintf("tailer %s (%s, %s/%s)", v.Version, v.Go, v.OS, v.Arch)}, v)
		},
	}
	addOutput(cmd, &output)
	return cmd
}

// versionAnswer is what version prints with --output json.
type versionAnswer struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}
