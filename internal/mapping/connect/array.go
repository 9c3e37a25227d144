package connect

import (
	"bytes"
	"errors"
)

var errArray = errors.New("is no array of one dimension")

// splitArray reads an array in the server's text form, such as
// {a,"b\"c",NULL}, see
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO. A NULL
// element is nil.
func splitArray(text []byte) ([][]byte, error) {
	if len(text) > 0 && text[0] == '[' { // [0:1]={..}: where it begins does not matter
		if _, rest, ok := bytes.Cut(text, []byte("]={")); ok {
			text = text[len(text)-len(rest)-1:]
		}
	}
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, errArray // it has more dimensions
	}
	in := text[1 : len(text)-1]
	elements := [][]byte{}
	if len(in) == 0 {
		return elements, nil
	}
	for {
		e, rest, err := element(in)
		if err != nil {
			return nil, err
		}
		elements = append(elements, e)
		if len(rest) == 0 {
			return elements, nil
		}
		in = rest[1:]
	}
}

// element reads one element; rest is empty or begins with the comma.
func element(in []byte) (e, rest []byte, err error) {
	if len(in) > 0 && in[0] == '{' {
		return nil, nil, errArray
	}
	if len(in) == 0 || in[0] != '"' {
		i := bytes.IndexByte(in, ',')
		if i < 0 {
			i = len(in)
		}
		if string(in[:i]) == "NULL" {
			return nil, in[i:], nil
		}
		return in[:i:i], in[i:], nil
	}
	e = []byte{}
	for i := 1; i < len(in); i++ {
		switch in[i] {
		case '"':
			if i++; i < len(in) && in[i] != ',' {
				return nil, nil, errArray
			}
			return e, in[i:], nil
		case '\\':
			if i++; i == len(in) {
				return nil, nil, errArray
			}
		}
		e = append(e, in[i])
	}
	return nil, nil, errArray
}
