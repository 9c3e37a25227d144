package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tablesKey is the one key that only the file has: a list of outbox tables,
// each with its mapping; see tables.go.
const tablesKey = "tables"

// fewKeys is how many keys an error lists at most.
const fewKeys = 20

// file is a YAML file taken apart: one flat mapping of options, and tables.
type file struct {
	path       string
	settings   settings
	tables     []tableEntry
	tablesLine int
}

// readFile reads a YAML file strictly: every key is known and there once.
func readFile(path string) (*file, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, invalid("config", "cannot be read: %v", err)
	}
	return parseFile(path, data)
}

func parseFile(path string, data []byte) (*file, error) {
	f := &file{path: path, settings: settings{}}
	root, err := document(data)
	if err != nil {
		return nil, invalid("config", "%s: %s", path, err)
	}
	if root == nil {
		return f, nil
	}
	if root.Kind != yaml.MappingNode { // and is perhaps a secret: it is not shown
		return nil, f.bad(root.Line, "the file is not a mapping of keys to values")
	}
	known := []string{tablesKey}
	for i := range options {
		if !options[i].noFile {
			known = append(known, options[i].name)
		}
	}
	err = f.eachKey(root, "the file", known, func(key string, value *yaml.Node) error {
		if key == tablesKey {
			return f.readTables(value)
		}
		return f.readOption(lookup(key), value)
	})
	return f, err
}

// document is the root of the one YAML document in data, nil if it is empty.
func document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = dec.Decode(&second); err == nil {
			return nil, fmt.Errorf("line %d: a second document begins, and only one is allowed", second.Line)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// eachKey calls do for each key of a mapping, all of which must be known.
func (f *file) eachKey(n *yaml.Node, what string, known []string, do func(string, *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return f.bad(n.Line, "%s: %s is not a mapping of keys to values", what, shown(n))
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], named(n.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			return f.bad(key.Line, "%s: %s is not a key", what, shown(key))
		}
		if !contains(known, key.Value) {
			err := f.bad(key.Line, "unknown key %q", key.Value)
			err.Hint = didYouMean(key.Value, known)
			if len(known) <= fewKeys {
				err.Hint = strings.TrimPrefix(err.Hint+" allowed are "+strings.Join(known, ", "), " ")
			}
			return err
		}
		if line, ok := seen[key.Value]; ok {
			return f.bad(key.Line, "key %s stands in line %d already", key.Value, line)
		}
		seen[key.Value] = key.Line
		if isNull(value) {
			return f.bad(key.Line, `key %s has no value; write "" for an empty one`, key.Value)
		}
		if err := do(key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

// readOption notes an option's value: a scalar, or for a list a sequence too.
func (f *file) readOption(o *option, n *yaml.Node) error {
	s := setting{where: fmt.Sprintf("%s:%d", f.path, n.Line)}
	switch {
	case n.Kind == yaml.ScalarNode:
		s.values = o.split(n.Value)
	case n.Kind == yaml.SequenceNode && o.isList():
		for _, item := range n.Content {
			if item = named(item); item.Kind != yaml.ScalarNode {
				return f.bad(item.Line, "%s: %s is not a plain value", o.name, shown(item))
			}
			s.values = append(s.values, item.Value)
		}
	case o.isList():
		return f.bad(n.Line, "%s: %s is not a list of plain values", o.name, shown(n))
	default:
		return f.bad(n.Line, "%s: %s is not one plain value", o.name, shown(n))
	}
	f.settings[o.name] = s
	return nil
}

func (f *file) bad(line int, format string, args ...any) *outbox.Invalid {
	return invalid("config", "%s:%d: %s", f.path, line, fmt.Sprintf(format, args...))
}

// named is what an alias stands for, and every other node itself.
func named(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// shown is a node for people, who want to know what is wrong with it.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return "an empty list"
		}
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
