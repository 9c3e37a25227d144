// Command table prints, as Markdown, the one table of the results that several runs of the fault suite have appended to
// the files named.
package main

import (
	"fmt"
	"os"

	"github.com/tailer-io/tailer/e2e/chaos"
)

func main() {
	var all []*chaos.Result
	for _, file := range os.Args[1:] {
		results, err := chaos.Load(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		all = append(all, results...)
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "usage: table FILE..., files that CHAOS_RESULTS named")
		os.Exit(2)
	}
	fmt.Print(chaos.Markdown(chaos.Merge(all)))
}
