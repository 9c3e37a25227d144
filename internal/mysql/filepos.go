package mysql

import (
	"fmt"
	"strconv"
	"strings"
)

// filePos is a place in a binary log file. Offsets are 64 bits although the
// log itself notes 32: a transaction larger than 4 GB ends behind that.
type filePos struct {
	file   string
	offset uint64
}

func (p filePos) append(dst []byte) []byte {
	dst = append(dst, p.file...)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, p.offset, 10)
}

func (p filePos) String() string { return string(p.append(nil)) }

func parseFilePos(text string) (filePos, error) {
	i := strings.LastIndexByte(text, ':')
	if i > 0 {
		offset, err := strconv.ParseUint(text[i+1:], 10, 64)
		if _, ok := fileNumber(text[:i]); err == nil && ok && offset >= 4 {
			return filePos{text[:i], offset}, nil
		}
	}
	return filePos{}, fmt.Errorf("parse position %q: want FILE:OFFSET, for example binlog.000012:345", text)
}

// fileNumber is the number at the end of a log file's name. Names are compared
// by it: behind binlog.999999 comes binlog.1000000.
func fileNumber(file string) (uint64, bool) {
	i := strings.LastIndexByte(file, '.')
	n, err := strconv.ParseUint(file[i+1:], 10, 64)
	return n, i >= 0 && err == nil
}

// compare orders two places of the same server.
func (p filePos) compare(o filePos) int {
	a, _ := fileNumber(p.file)
	b, _ := fileNumber(o.file)
	switch {
	case a != b && a < b:
		return -1
	case a != b:
		return 1
	case p.offset < o.offset:
		return -1
	case p.offset > o.offset:
		return 1
	}
	return 0
}
