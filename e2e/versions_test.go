package e2e

import (
	"testing"

	"github.com/tailer-io/tailer/e2e/harness"
)

// The core cases on every version that the README says is tested, beside those that everything runs on. One after the
// other: a slot is made when every transaction that runs on its server has ended, three times in a row, and some cases
// write as fast as they can.
func TestEveryVersionOfPostgres(t *testing.T) {
	if !harness.Full() {
		t.Skip("the version matrix is for E2E_FULL=1")
	}
	for _, variable := range []string{"STACK_PG14_URL", "STACK_PG17_URL", "STACK_PG18_URL"} {
		t.Run(variable, func(t *testing.T) {
			server := harness.NewPostgres(t, variable)
			for _, k := range core {
				t.Run(k.name, func(t *testing.T) { k.run(t, server) })
			}
		})
	}
}

// MariaDB 11.4 leaves positions out of the events inside a transaction, and has more that 10.11 has not.
func TestEveryVersionOfMariaDB(t *testing.T) {
	if !harness.Full() || kind() != "mariadb" {
		t.Skip("the version matrix is for E2E_FULL=1 and E2E_SOURCE=mariadb")
	}
	for _, variable := range []string{"STACK_MARIADB114_URL", "STACK_MARIADB118_URL"} {
		t.Run(variable, func(t *testing.T) {
			server := harness.NewMySQL(t, variable)
			for _, k := range core {
				t.Run(k.name, func(t *testing.T) { k.run(t, server) })
			}
		})
	}
}
