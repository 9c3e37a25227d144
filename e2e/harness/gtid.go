package harness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// history is what a position of MySQL or MariaDB holds: by stream (a server's UUID with a tag, or a domain) the
// transactions' numbers as intervals, ordered and apart.
type history map[string][][2]uint64

// parseGTIDs reads MySQL's UUID:1-5:7,UUID:tag:3. A set without anything is written "" or "none".
func parseGTIDs(s string) (history, error) {
	h := history{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "" || part == "none" {
			continue
		}
		words := strings.Split(part, ":")
		if len(words) < 2 {
			return nil, fmt.Errorf("%q is no GTID set", s)
		}
		stream := words[0]
		for _, w := range words[1:] {
			first, last, two := strings.Cut(w, "-")
			a, err := strconv.ParseUint(first, 10, 64)
			if err != nil {
				stream = words[0] + ":" + w // a tag, which holds for the intervals behind it
				continue
			}
			b := a
			if two {
				if b, err = strconv.ParseUint(last, 10, 64); err != nil {
					return nil, fmt.Errorf("%q is no GTID set: %w", s, err)
				}
			}
			h[stream] = append(h[stream], [2]uint64{a, b})
		}
	}
	for stream, list := range h {
		slices.SortFunc(list, func(x, y [2]uint64) int { return int(int64(x[0] - y[0])) })
		joined := list[:1]
		for _, i := range list[1:] {
			if last := &joined[len(joined)-1]; i[0] <= last[1]+1 {
				last[1] = max(last[1], i[1])
			} else {
				joined = append(joined, i)
			}
		}
		h[stream] = joined
	}
	return h, nil
}

// parseDomains reads MariaDB's 0-1-42,7-1-100: the last transaction of each domain, which stands for all before.
func parseDomains(s string) (history, error) {
	h := history{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" || part == "none" {
			continue
		}
		words := strings.Split(part, "-")
		if len(words) != 3 {
			return nil, fmt.Errorf("%q is no GTID position", s)
		}
		n, err := strconv.ParseUint(words[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no GTID position: %w", s, err)
		}
		h[words[0]] = [][2]uint64{{1, n}}
	}
	return h, nil
}

// isFile: names of log files have dots, GTID sets have none.
func isFile(s string) bool { return strings.Contains(s, ".") }

// parseFile reads binlog.000012:345 as one stream whose numbers are the file's and the offset in it.
func parseFile(s string) (history, error) {
	file, offset, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(file[strings.LastIndexByte(file, '.')+1:], 10, 24)
	at, err2 := strconv.ParseUint(offset, 10, 40)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("%q is no place in a log file", s)
	}
	return history{"log": {{1, n<<40 | at}}}, nil
}

// holds reports whether every transaction of o is in h.
func (h history) holds(o history) bool {
	for stream, list := range o {
		for _, i := range list {
			if !slices.ContainsFunc(h[stream], func(have [2]uint64) bool { return have[0] <= i[0] && i[1] <= have[1] }) {
				return false
			}
		}
	}
	return true
}

// compare orders two positions of one history; two that each hold what the other lacks are an error.
func compare(a, b history) (int, error) {
	switch ab, ba := a.holds(b), b.holds(a); {
	case ab && ba:
		return 0, nil
	case ab:
		return 1, nil
	case ba:
		return -1, nil
	}
	return 0, fmt.Errorf("%v and %v each lack something of the other", a, b)
}
