package relay

import (
	"reflect"
	"testing"
)

func TestCommands(t *testing.T) {
	got := Commands([]string{"PATH=/bin", "BENCH_RELAY_MINE=run --a=b", "BENCH_RELAY_MINE_RESET=rm x", "BENCH_RELAY_YOUR_OWN=go", "BENCH_RELAY_NONE="}, nil)
	want := []*Command{{Label: "mine", Command: "run --a=b", ResetCommand: "rm x"}, {Label: "your-own", Command: "go"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
