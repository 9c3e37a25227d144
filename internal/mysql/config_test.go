package mysql

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
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
	if err := Validate(Config{URL: "mysql://u@h/", Tables: []Table{{Schema: "s", Name: "t"}}}); err != nil {
		t.Errorf("a table with a schema needs no database: %v", err)
	}
}

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"invalid": 0, "unfit": 2})
}

func TestBadURL(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("junk", []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	const hint = "; want mysql://USER@HOST:PORT/DATABASE?ssl-mode=verify-identity (or mariadb://; several hosts with commas between them); " +
		"special characters in user and password are percent-encoded"
	for _, c := range []struct{ name, url, want string }{
		{"none", "", "--source-url: it is neither a mysql:// nor a mariadb:// URL" + hint},
		{"another database's", "postgres://u:secret@h/db", "--source-url: it is neither a mysql:// nor a mariadb:// URL" + hint},
		{"no user", "mysql://:secret@h/db", "--source-url: it names no user" + hint},
		{"no host", "mysql://u:secret@/db", "--source-url: it names no host" + hint},
		{"no second host", "mysql://u:secret@h1,/db", "--source-url: it names no host" + hint},
		{"no database", "mariadb://u:secret@h/", "--source-url: it names no database, and table outbox has none either; want mariadb://USER@HOST:PORT/DATABASE"},
		{"database", "mysql://u:secret@h/a/b", `--source-url: "a/b" is no database name` + hint},
		{"port", "mysql://u:secret@h:99999/db", `--source-url: "99999" is no port` + hint},
		{"port 0", "mysql://u:secret@h:0/db", `--source-url: "0" is no port` + hint},
		{"port that is no number", "mysql://u:secret@h1,h2:x/db", `--source-url: "h2:x" is no HOST:PORT; an IPv6 address stands in brackets` + hint},
		{"two ports", "mysql://u:secret@h:1:2/db", `--source-url: "h:1:2" is no HOST:PORT; an IPv6 address stands in brackets` + hint},
		{"bare IPv6", "mysql://u:secret@fe80::1/db", `--source-url: "fe80::1" is no HOST:PORT; an IPv6 address stands in brackets` + hint},
		{"open bracket", "mysql://u:secret@[::1/db", "--source-url: it is malformed" + hint},

		{"% in the password", "mysql://u:sec%ret@h/db", "--source-url: it is malformed" + hint},
		{"# in the password", "mysql://u:sec#ret@h/db", "--source-url: it is malformed" + hint},
		{"/ in the password", "mysql://u:sec/ret@h/db", "--source-url: it is malformed" + hint},
		{"? in the password", "mysql://u:sec?ret@h/db", "--source-url: it is malformed" + hint},
		{"@ and # in the password", "mysql://u:s@e#ret@h/db", "--source-url: it has a #, which is written as %23" + hint},
		{"@ and / in the password", "mysql://u:s@e/ret@h/db", "--source-url: it is malformed" + hint},
		{"@ and ? in the password", "mysql://u:s@e?ret@h/db", "--source-url: it is malformed" + hint},

		{"no parameters", "mysql://u:secret@h/db?%zz", "--source-url: its parameters are malformed" + hint},
		{"parameter of Postgres", "mysql://u:secret@h/db?sslmode=disable",
			`--source-url: it has the parameter "sslmode"; known are ssl-mode, ssl-ca, ssl-cert, ssl-key, socket` + hint},
		{"mode", "mysql://u:secret@h/db?ssl-mode=VERIFY_CA",
			`--source-url: ssl-mode "VERIFY_CA" is none of disabled, preferred, required, verify-ca, verify-identity` + hint},
		{"hosts and a socket", "mysql://u:secret@h1,h2/db?socket=/s", "--source-url: it names several hosts and a socket" + hint},
		{"empty socket", "mysql://u:secret@h/db?socket=", "--source-url: socket names no file" + hint},
		{"certificate without a key", "mysql://u:secret@h/db?ssl-cert=junk", "--source-url: ssl-cert and ssl-key go together" + hint},
		{"idle certificate", "mysql://u:secret@h/db?ssl-mode=disabled&ssl-cert=junk&ssl-key=junk",
			"--source-url: ssl-cert and ssl-key have no effect with ssl-mode=disabled" + hint},
		{"idle authority", "mysql://u:secret@h/db?ssl-mode=required&ssl-ca=junk",
			"--source-url: ssl-ca has no effect with ssl-mode=required, but with verify-ca and verify-identity" + hint},
		{"no authority", "mysql://u:secret@h/db?ssl-ca=none.pem", "--source-url: ssl-ca cannot be read: open none.pem: no such file or directory"},
		{"authority that is none", "mysql://u:secret@h/db?ssl-ca=junk", "--source-url: ssl-ca junk holds no certificate in PEM"},
		{"no certificate", "mysql://u:secret@h/db?ssl-cert=none.pem&ssl-key=junk",
			"--source-url: ssl-cert none.pem and ssl-key junk cannot be used: open none.pem: no such file or directory"},
		{"certificate that is none", "mysql://u:secret@h/db?ssl-cert=junk&ssl-key=junk",
			"--source-url: ssl-cert junk and ssl-key junk cannot be used: failed to find any PEM data in certificate input"},
	} {
		err := Validate(Config{URL: c.url, Tables: []Table{{Name: "outbox", Columns: []string{"id"}}}})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@")) {
			t.Errorf("%s: the password is in %q", c.name, err)
		}
	}
	const none = "--outbox-table: no table is named"
	if err := Validate(Config{URL: "mysql://u@h/db"}); err == nil || err.Error() != none {
		t.Errorf("got %v, want %s", err, none)
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
