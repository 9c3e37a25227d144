package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// domainGTID names one MariaDB transaction; in a position it is the last of
// its domain. See https://mariadb.com/kb/en/gtid/.
type domainGTID struct {
	domain, server uint32
	seq            uint64
}

func (g domainGTID) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(g.domain), 10)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, uint64(g.server), 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, g.seq, 10)
}

func (g domainGTID) String() string { return string(g.append(nil)) }

var errDomainGTID = errors.New("want DOMAIN-SERVER-SEQUENCE, for example 0-1-42")

func parseDomainGTID(text string) (domainGTID, error) {
	f := strings.Split(strings.TrimSpace(text), "-")
	if len(f) != 3 {
		return domainGTID{}, fmt.Errorf("parse GTID %q: %w", text, errDomainGTID)
	}
	domain, err1 := strconv.ParseUint(f[0], 10, 32)
	server, err2 := strconv.ParseUint(f[1], 10, 32)
	seq, err3 := strconv.ParseUint(f[2], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return domainGTID{}, fmt.Errorf("parse GTID %q: %w", text, errDomainGTID)
	}
	return domainGTID{uint32(domain), uint32(server), seq}, nil
}

// domainPos is a MariaDB position: the last transaction of each domain, sorted
// by domain. The zero value is the position before everything.
type domainPos []domainGTID

func (p domainPos) find(domain uint32) (int, bool) {
	return slices.BinarySearchFunc(p, domain, func(g domainGTID, d uint32) int {
		switch {
		case g.domain < d:
			return -1
		case g.domain > d:
			return 1
		}
		return 0
	})
}

// last is the last transaction of a domain.
func (p domainPos) last(domain uint32) (domainGTID, bool) {
	if i, ok := p.find(domain); ok {
		return p[i], true
	}
	return domainGTID{}, false
}

// set makes g the last transaction of its domain.
func (p *domainPos) set(g domainGTID) {
	i, ok := p.find(g.domain)
	if ok {
		(*p)[i] = g
		return
	}
	*p = slices.Insert(*p, i, g)
}

func (p domainPos) append(dst []byte) []byte {
	if len(p) == 0 {
		return append(dst, none...)
	}
	for i, g := range p {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = g.append(dst)
	}
	return dst
}

func (p domainPos) String() string { return string(p.append(nil)) }

// connectState is the position as a replica tells it to the server.
func (p domainPos) connectState() string {
	if len(p) == 0 {
		return ""
	}
	return p.String()
}

func parseDomainPos(text string) (domainPos, error) {
	var p domainPos
	if text == none || strings.TrimSpace(text) == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		g, err := parseDomainGTID(part)
		if err != nil {
			return nil, err
		}
		// Several servers of one domain: the highest number is the last.
		if old, ok := p.last(g.domain); !ok || old.seq < g.seq {
			p.set(g)
		}
	}
	return p, nil
}
