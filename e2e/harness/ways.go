package harness

import (
	"os"
	"strings"
	"sync"
)

// Ways hands out the words of an environment variable of scripts/stack, each a way to the brokers for proxies: whoever
// takes one gives it back. The channel has no capacity where the variable names none.
func Ways(variable string) func() chan string {
	return sync.OnceValue(func() chan string {
		ways := strings.Fields(os.Getenv(variable))
		free := make(chan string, len(ways))
		for _, way := range ways {
			free <- way
		}
		return free
	})
}
