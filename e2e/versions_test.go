package e2e

import (
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
)

// The core cases on every version that the README says is tested.
func TestEveryVersionOfPostgres(t *testing.T) {
	if !harness.Full() {
		t.Skip("the version matrix is for E2E_FULL=1")
	}
	for _, variable := range []string{"STACK_PG14_URL", "STACK_PG17_URL", "STACK_PG18_URL"} {
		t.Run(variable, func(t *testing.T) {
			server := harness.NewPostgres(t, variable)
			for _, k := range core {
				t.Run(k.name, func(t *testing.T) {
					t.Parallel()
					k.run(t, server)
				})
			}
		})
	}
}
