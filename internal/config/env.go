package config

import (
	"slices"
	"strings"
)

const envPrefix = "TAILER_"

// ignoredEnv begin the variables that Kubernetes sets for a service that is
// called tailer.
var ignoredEnv = []string{"TAILER_PORT", "TAILER_SERVICE_"}

// fromEnv are the settings of an environment, and a warning for each TAILER_
// variable that is no option's.
func fromEnv(environ []string) (settings, []string) {
	byEnv := make(map[string]*option, len(options))
	names := make([]string, 0, len(options))
	for i := range options {
		byEnv[options[i].env()] = &options[i]
		names = append(names, options[i].env())
	}
	set := settings{}
	var warnings []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		o := byEnv[name]
		switch {
		case o != nil:
			set[o.name] = setting{values: o.split(value), where: "environment variable " + name}
		case strings.HasPrefix(name, envPrefix) && !ignored(name):
			warnings = append(warnings, join("unknown environment variable "+name, didYouMean(name, names)))
		}
	}
	return set, warnings
}

func ignored(name string) bool {
	return slices.ContainsFunc(ignoredEnv, func(p string) bool { return strings.HasPrefix(name, p) })
}

// join puts a hint behind a text, as errors have it.
func join(text, hint string) string {
	if hint == "" {
		return text
	}
	return text + "; " + hint
}
