package chaos

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// Several runs that append to one file make one row of each source and fault.
func TestResultsAddUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	if none, err := Load(file); err != nil || len(none) != 0 {
		t.Fatal(none, err)
	}
	for _, r := range []Result{
		{Source: "mysql", Fault: "cut", Versions: "v1", Seed: 1, Times: 2, Took: []time.Duration{3, 1}, Rows: 10},
		{Source: "mysql", Fault: "stall", Versions: "v1", Seed: 1, Times: 1},
		{Source: "mysql", Fault: "cut", Versions: "v2", Seed: 2, Times: 3, Took: []time.Duration{2}, Rows: 5, Failed: true,
			Findings: Findings{Lost: 4}},
	} {
		if err := Append(file, &r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got = Merge(got)
	if len(got) != 2 {
		t.Fatalf("%d rows", len(got))
	}
	want := &Result{Source: "mysql", Fault: "cut", Versions: "v1; v2", Seed: 2, Times: 5, Took: []time.Duration{3, 1, 2}, Rows: 15,
		Findings: Findings{Lost: 4}, Failed: true}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v", got[0])
	}
}
