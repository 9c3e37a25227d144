package mysql

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
)

func TestParseURL(t *testing.T) {
	h := []endpoint{{"tcp", "h:3306", "h"}}
	for text, want := range map[string]address{
		"mysql://u:p%40@h/db":                                     {kind: outbox.MySQL, hosts: h, user: "u", password: "p@", database: "db", tls: tlsPreferred},
		"mariadb://u@[::1]:3307/":                                 {kind: outbox.MariaDB, hosts: []endpoint{{"tcp", "[::1]:3307", "::1"}}, user: "u", tls: tlsPreferred},
		"mysql://u@h/db?ssl-mode=required&ssl-cert=/c&ssl-key=/k": {kind: outbox.MySQL, hosts: h, user: "u", database: "db", tls: tlsRequired, cert: "/c", key: "/k"},
		"mysql://u@h/db?ssl-ca=/x.pem":                            {kind: outbox.MySQL, hosts: h, user: "u", database: "db", tls: tlsVerifyIdentity, ca: "/x.pem"},
		"mysql://u@h/db?ssl-mode=verify-identity":                 {kind: outbox.MySQL, hosts: h, user: "u", database: "db", tls: tlsVerifyIdentity},
		"mysql://u@/db?socket=/run/s":                             {kind: outbox.MySQL, hosts: []endpoint{{"unix", "/run/s", ""}}, user: "u", database: "db", tls: tlsPreferred},
		"mysql://u:a,b@h,[::1],i:3307/db?ssl-mode=required": {kind: outbox.MySQL, hosts: []endpoint{h[0], {"tcp", "[::1]:3306", "::1"}, {"tcp", "i:3307", "i"}},
			user: "u", password: "a,b", database: "db", tls: tlsRequired},
		"mariadb://u@i:1,h": {kind: outbox.MariaDB, hosts: []endpoint{{"tcp", "i:1", "i"}, h[0]}, user: "u", tls: tlsPreferred},
	} {
		got, err := parseURL(Config{URL: text})
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	tables := []Table{{Name: "outbox", Columns: []string{"id"}}}
	for _, text := range []string{
		"", "postgres://u:secret@h/db", "mysql://u:secret@h:99999/db", "mysql://u:secret@h:0/db", "mysql://:secret@h/db", "mysql://u:secret@/db",
		"mysql://u:secret@h/db?ssl-mode=maybe", "mysql://u:secret@h/db?sslmode=disable", "mysql://u:secret@h1,/db", "mysql://u:secret@h1,h2:x/db", "mysql://u:secret@h1,h2/db?socket=/s", "mysql://u:secret@h/a/b",
		"mysql://u:secret@h/", "mysql://u:sec%ret@h/db", "mysql://u:secret@h/db?%zz",
	} {
		err := Validate(Config{URL: text, Tables: tables})
		var inv *outbox.Invalid
		if !errors.As(err, &inv) || inv.Option != "source-url" {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec%ret") {
			t.Errorf("the password is in %q", err)
		}
	}
	if err := Validate(Config{URL: "mysql://u@h/db"}); err == nil {
		t.Error("no table is no error")
	}
	if err := Validate(Config{URL: "mysql://u@h/", Tables: []Table{{Schema: "s", Name: "t"}}}); err != nil {
		t.Errorf("a table with a schema needs no database: %v", err)
	}
}

func TestNames(t *testing.T) {
	a := New(Config{URL: "mysql://u@h/db", Name: "a"}, quiet())
	b := New(Config{URL: "mysql://u@h/db", Name: "b"}, quiet())
	long := New(Config{URL: "mysql://u@h/db", Name: strings.Repeat("n", 200)}, quiet())
	if a.serverID() < 1<<31 || a.serverID() == b.serverID() {
		t.Errorf("server ids %d and %d", a.serverID(), b.serverID())
	}
	if a.lockName("active") == b.lockName("active") || a.lockName("active") == a.lockName("reader") {
		t.Error("two locks have one name")
	}
	if n := len(long.lockName("active")); n > 64 {
		t.Errorf("a lock's name has %d characters", n)
	}
	if n := len(long.report()); n > 60 {
		t.Errorf("the name in SHOW REPLICAS has %d bytes", n)
	}
	x, y := New(Config{URL: "mysql://u@h/db", Temporary: true}, quiet()), New(Config{URL: "mysql://u@h/db", Temporary: true}, quiet())
	if x.serverID() == y.serverID() {
		t.Error("two temporary runs have one server id")
	}
}

func TestMembers(t *testing.T) {
	c := columnFacts{full: "enum('a','b''c','d,e','')"}
	if got := strings.Join(c.members(), "|"); got != "a|b'c|d,e|" {
		t.Errorf("%s", got)
	}
	c = columnFacts{dataType: "decimal", full: "decimal(18,9) unsigned zerofill"}
	if c.zerofill() != 19 || !c.unsigned() {
		t.Errorf("zerofill %d", c.zerofill())
	}
	if v := versionNumber("8.0.36-28"); v != 80036 {
		t.Errorf("%d", v)
	}
	if v := versionNumber("10.11.19-MariaDB-0+deb12u1-log"); v != 101119 {
		t.Errorf("%d", v)
	}
}

func TestParsePosition(t *testing.T) {
	for url, texts := range map[string][]string{
		"mysql://u@h/db":   {uuidA + ":1-5", "none", "binlog.000012:345"},
		"mariadb://u@h/db": {"0-1-42", "0-1-42,7-2-3", "none"},
	} {
		s := New(Config{URL: url}, quiet())
		for _, text := range texts {
			if p, err := s.ParsePosition(text); err != nil || p.Text != text {
				t.Errorf("%s %s: %v, %v", url, text, p, err)
			}
		}
		for _, text := range []string{"", "x", "0/16B3748"} {
			if p, err := s.ParsePosition(text); err == nil {
				t.Errorf("%s %q: %v", url, text, p)
			}
		}
	}
	s := New(Config{URL: "mysql://u@h/db"}, quiet())
	behind := func(a, b string) float64 {
		return s.Behind(outbox.Position{Kind: outbox.MySQL, Text: a}, outbox.Position{Kind: outbox.MySQL, Text: b})
	}
	if got := behind(uuidA+":1-5", uuidA+":1-9"); got != 4 {
		t.Errorf("behind by %v transactions, want 4", got)
	}
	if got := behind("binlog.000002:100", "binlog.000002:350"); got != 250 {
		t.Errorf("behind by %v bytes, want 250", got)
	}
	if got := behind("binlog.000002:100", uuidA+":1"); got >= 0 {
		t.Errorf("a file and a GTID set: %v", got)
	}
}
