package convert

import (
	"fmt"
	"slices"
	"strings"
)

// take removes an option and gives its value, without spaces around it.
func (c *conversion) take(key string) (string, bool) {
	v, ok := c.left[key]
	delete(c.left, key)
	return strings.TrimSpace(v), ok
}

// takeOr is take with a default.
func (c *conversion) takeOr(key, def string) string {
	if v, ok := c.take(key); ok {
		return v
	}
	return def
}

// flag takes an option that is true or false.
func (c *conversion) flag(key string, def bool) bool {
	v, ok := c.take(key)
	if !ok {
		return def
	}
	return c.boolean(key, v)
}

// boolean reads a value as Kafka Connect and Debezium do: the case does not
// matter. With another one their connector does not start, so that nobody
// knows what was meant.
func (c *conversion) boolean(key, v string) bool {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true":
		return true
	case "false":
		return false
	}
	if c.wrong == nil {
		c.wrong = fmt.Errorf("%s: %q is neither true nor false", key, v)
	}
	return false
}

// choice takes an option with a closed set of values, in lower case: the case
// does not matter to Debezium. def stands for an option that is not there, and
// is allowed too unless it is empty.
func (c *conversion) choice(key, def string, others ...string) string {
	v, ok := c.take(key)
	if !ok {
		return def
	}
	allowed := others
	if def != "" {
		allowed = append([]string{def}, others...)
	}
	if v = strings.ToLower(v); !slices.Contains(allowed, v) {
		c.lose("%s=%s: it is not one of %s", key, v, strings.Join(allowed, ", "))
		return def
	}
	return v
}

// drop removes all options that begin so.
func (c *conversion) drop(prefix string) {
	for key := range c.left {
		if strings.HasPrefix(key, prefix) {
			delete(c.left, key)
		}
	}
}

func (c *conversion) lose(format string, args ...any) {
	c.lost = append(c.lost, fmt.Sprintf(format, args...))
}
func (c *conversion) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// fields are the elements of a list with commas, without spaces and empty ones.
func fields(list string) []string {
	var out []string
	for _, f := range strings.Split(list, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}
