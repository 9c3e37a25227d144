package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// read takes a file apart: the JSON of a Kafka Connect connector, with or
// without its envelope of name and config, or Java properties.
func read(data []byte) (map[string]string, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is no UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch begin := bytes.TrimSpace(data); {
	case bytes.HasPrefix(begin, []byte("{")):
		return readJSON(data)
	case bytes.HasPrefix(begin, []byte("[")):
		return nil, errors.New("it is a list: wanted is one connector")
	}
	return readProperties(data)
}

func readJSON(data []byte) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var top map[string]any
	if err := dec.Decode(&top); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if dec.More() {
		return nil, errors.New("more than one JSON object is in it: wanted is one connector")
	}
	if message, ok := top["message"].(string); ok && top["error_code"] != nil {
		return nil, fmt.Errorf("it is an error of Kafka Connect: %s", message)
	}
	options := map[string]string{}
	if config, ok := top["config"].(map[string]any); ok {
		if name, ok := top["name"].(string); ok {
			options["name"] = name
		}
		top = config
	}
	for key, v := range top {
		switch v := v.(type) {
		case string:
			options[key] = v
		case json.Number:
			options[key] = v.String()
		case bool:
			options[key] = strconv.FormatBool(v)
		case nil:
		default:
			return nil, fmt.Errorf("the value of %s is no text", key)
		}
	}
	return options, nil
}

// readProperties reads java.util.Properties: see
// https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Properties.html#load(java.io.Reader).
func readProperties(data []byte) (map[string]string, error) {
	options := map[string]string{}
	line := ""
	for l := range strings.Lines(string(data)) {
		l = strings.TrimLeft(strings.TrimRight(l, "\r\n"), " \t\f")
		if line == "" && (l == "" || l[0] == '#' || l[0] == '!') {
			continue
		}
		if line += l; oddBackslashes(line) {
			line = line[:len(line)-1]
			continue
		}
		key, value, err := property(line)
		if err != nil {
			return nil, err
		}
		options[key], line = value, ""
	}
	if line != "" {
		key, value, err := property(line)
		if err != nil {
			return nil, err
		}
		options[key] = value
	}
	if len(options) == 0 {
		return nil, errors.New("it holds no options")
	}
	return options, nil
}

// oddBackslashes reports whether a line goes on in the next one.
func oddBackslashes(l string) bool {
	return (len(l)-len(strings.TrimRight(l, `\`)))%2 == 1
}

// property splits a line at the first separator that is not escaped.
func property(line string) (key, value string, err error) {
	i := 0
	for i < len(line) && !strings.ContainsRune("=: \t\f", rune(line[i])) {
		if line[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(line))
	rest := strings.TrimLeft(line[i:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	if key, err = unescape(line[:i]); err == nil {
		value, err = unescape(rest)
	}
	return key, value, err
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+4 >= len(s) {
				return "", fmt.Errorf(`%q ends inside of \u`, s)
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`%q has a \u that is no number`, s)
			}
			b.WriteRune(rune(n))
			i += 4
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
