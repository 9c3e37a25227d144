package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// AddFlags declares the flags of a command. Load reads them back once they are
// parsed.
func AddFlags(fs *pflag.FlagSet, cmd Command) {
	fs.SortFlags = false // the table's order keeps together what belongs together
	for i := range options {
		o := &options[i]
		if o.commands&cmd == 0 {
			continue
		}
		f := fs.VarPF(&flagValue{option: o}, o.name, "", o.usage())
		if _, ok := o.field(new(Config)).(*bool); ok {
			f.NoOptDefVal = "true"
		}
	}
}

// usage is the option's line in the help. Backquotes would name the value's
// placeholder there.
func (o *option) usage() string {
	text := strings.ReplaceAll(o.doc, "`", "")
	if o.derived != "" {
		text += fmt.Sprintf(" (%s)", o.defaultText())
	}
	return text
}

// defaultText is the default for people: "default 5ms", or "required".
func (o *option) defaultText() string {
	switch {
	case strings.HasPrefix(o.derived, "required"):
		return o.derived
	case o.derived != "":
		return "default " + o.derived
	case o.def != "":
		return "default " + o.def
	}
	return ""
}

// flagValue keeps what a flag was given as text: values of all layers are
// parsed in one place.
type flagValue struct {
	option *option
	values []string
}

// Set notes a value; a list gathers them.
func (f *flagValue) Set(s string) error {
	if f.option.isList() {
		f.values = append(f.values, f.option.split(s)...)
	} else {
		f.values = []string{s}
	}
	return nil
}

// String is the default, for the help.
func (f *flagValue) String() string {
	if f.option == nil || f.option.derived != "" { // pflag asks a zero value too
		return ""
	}
	return f.option.def
}

// Type is the value's placeholder, for the help.
func (f *flagValue) Type() string { return f.option.kind() }

// fromFlags are the settings of the flags that were given.
func fromFlags(fs *pflag.FlagSet) settings {
	set := settings{}
	fs.Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(*flagValue); ok {
			set[v.option.name] = setting{values: v.values}
		}
	})
	return set
}
