package config

import (
	"slices"
	"testing"
)

func TestChoices(t *testing.T) {
	for name, want := range map[string][]string{
		"preset":               {PresetDebezium, PresetEventuate, PresetCloudEvents},
		"delivery":             {ExactlyOnce, AtLeastOnce},
		"kafka-tls":            {"true", "false"},
		"until":                {"now"},
		"name":                 nil,
		"no-such-option":       nil,
		"kafka-sasl-mechanism": mechanisms[1:], // the first is empty: none
	} {
		if got := Choices(name); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"config": true, "checkpoint-file": true, "kafka-tls-ca-file": true, "name": false, "a-file": false} {
		if got := NamesFile(name); got != want {
			t.Errorf("%s names a file: got %v, want %v", name, got, want)
		}
	}
}
