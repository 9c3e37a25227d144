package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Size is a number of bytes.
type Size int64

// Units of a Size, all powers of 1024, greatest first; several spellings, of
// which String takes the first.
var units = []struct {
	size  Size
	names []string
}{
	{1 << 30, []string{"GiB", "g"}},
	{1 << 20, []string{"MiB", "m"}},
	{1 << 10, []string{"KiB", "k"}},
	{1, []string{"", "b"}},
}

var sizeForm = regexp.MustCompile(`^(\d+) ?([A-Za-z]*)$`)

// ParseSize reads "16MiB", "64k" or "1048576".
func ParseSize(s string) (Size, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, errSize
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, errSize
	}
	for _, u := range units {
		for _, name := range u.names {
			if strings.EqualFold(m[2], name) && n <= math.MaxInt64/int64(u.size) {
				return Size(n) * u.size, nil
			}
		}
	}
	return 0, errSize
}

var errSize = errors.New("not a size such as 16MiB, 64k or 1048576")

// String is the shortest form that ParseSize reads back.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.names[0]
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parse reads values into the option's field. Only a list takes several; for
// all else the last one holds, as with flags everywhere.
func (o *option) parse(c *Config, values []string) error {
	last := values[len(values)-1]
	bad := func(what string) error {
		return &outbox.Invalid{Option: o.name, Text: fmt.Sprintf("%q is %s", last, what)}
	}
	if len(o.allowed) > 0 && !slices.Contains(o.allowed, last) {
		return bad("not one of " + strings.TrimPrefix(strings.Join(o.allowed, ", "), ", ")) // which may begin with none
	}
	switch p := o.field(c).(type) {
	case *string:
		*p = last
	case *[]string:
		*p = slices.Clone(values)
	case *bool:
		if last != "true" && last != "false" {
			return bad("not one of true, false")
		}
		*p = last == "true"
	case *time.Duration:
		d, err := time.ParseDuration(last)
		if err != nil {
			return bad("not a duration such as 5ms, 15s, 1m or 24h")
		}
		*p = d
	case *Size:
		s, err := ParseSize(last)
		if err != nil {
			return bad(err.Error())
		}
		*p = s
	case *int64:
		return parseInt(p, last, math.MaxInt64, bad)
	case *int32:
		return parseInt(p, last, math.MaxInt32, bad)
	case *int16:
		return parseInt(p, last, math.MaxInt16, bad)
	case *uint32:
		return parseInt(p, last, math.MaxUint32, bad)
	default:
		panic(fmt.Sprintf("option %s has a field of type %T", o.name, p))
	}
	return nil
}

// parseInt reads a whole number that is not negative: no option has another.
func parseInt[T int16 | int32 | int64 | uint32](p *T, s string, limit int64, bad func(string) error) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > limit {
		return bad(fmt.Sprintf("not a whole number from 0 to %d", limit))
	}
	*p = T(n)
	return nil
}

// text is the value that the option has in c, in the form that parse reads.
func (o *option) text(c *Config) string {
	switch p := o.field(c).(type) {
	case *string:
		return *p
	case *[]string:
		return strings.Join(*p, ",")
	case *bool:
		return strconv.FormatBool(*p)
	case *time.Duration:
		return p.String()
	case *Size:
		return p.String()
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *int32:
		return strconv.FormatInt(int64(*p), 10)
	case *int16:
		return strconv.FormatInt(int64(*p), 10)
	case *uint32:
		return strconv.FormatUint(uint64(*p), 10)
	default:
		panic(fmt.Sprintf("option %s has a field of type %T", o.name, p))
	}
}

// kind is the value's placeholder in help and docs.
func (o *option) kind() string {
	if len(o.allowed) > 0 {
		return strings.Join(o.allowed, "|")
	}
	switch o.field(new(Config)).(type) {
	case *bool:
		return "bool"
	case *time.Duration:
		return "duration"
	case *Size:
		return "size"
	case *int64, *int32, *int16, *uint32:
		return "number"
	case *[]string:
		return "list"
	default:
		return "text"
	}
}

// isList reports whether the option may be given several times.
func (o *option) isList() bool {
	_, ok := o.field(new(Config)).(*[]string)
	return ok
}

// split makes a list's one text, separated by commas, its values.
func (o *option) split(s string) []string {
	if !o.isList() {
		return []string{s}
	}
	var values []string
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}
