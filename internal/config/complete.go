package config

import "strings"

// Choices are the values that an option allows, for the shell's completion; nil
// where that is no choice, or no option. An empty value is left out.
func Choices(name string) []string {
	o := lookup(name)
	switch {
	case o == nil:
		return nil
	case name == "until":
		return []string{"now"}
	}
	var values []string
	for _, v := range o.allowed {
		if v != "" {
			values = append(values, v)
		}
	}
	if _, ok := o.field(new(Config)).(*bool); ok {
		values = []string{"true", "false"}
	}
	return values
}

// NamesFile reports whether an option's value is the path of a file.
func NamesFile(name string) bool {
	return lookup(name) != nil && (name == "config" || strings.HasSuffix(name, "-file"))
}
