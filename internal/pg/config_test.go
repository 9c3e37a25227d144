package pg

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailer-io/tailer/internal/outboxtest"
)

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"invalid": 0, "unfit": 2})
}

// valid is a configuration that is right.
func valid() Config {
	return Config{
		URL: "postgres://u:p@h/d", Name: "n", Slot: "s_1", Publication: "P 1",
		Tables: []Table{{Schema: "public", Name: "outbox", Columns: []string{"id"}}},
	}
}

func TestValidate(t *testing.T) {
	for _, url := range []string{
		"postgres://u:p@h/d", "postgres:///d?host=/var/run", "postgresql://h1,h2:5433/d?target_session_attrs=any",
		"postgres://h/d?sslmode=disable&connect_timeout=3", "postgres://u:x@h1:1,h2:2/d?statement_timeout=1",
	} {
		c := valid()
		c.URL = url
		if err := Validate(c); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestBadURL(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("junk", []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	const hint = "; want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full; special characters in user and password are percent-encoded"
	for _, c := range []struct{ name, url, want string }{
		{"none", "", "--source-url: it is not a postgres:// URL" + hint},
		{"another database's", "mysql://h/d", "--source-url: it is not a postgres:// URL" + hint},
		{"libpq's other form", "host=h", "--source-url: it is not a postgres:// URL" + hint},
		{"port", "postgres://u:hunter2@h:port/d", "--source-url: it cannot be used: a port is no number from 1 to 65535" + hint},
		{"port 0", "postgres://u:hunter2@h:0/d", "--source-url: it cannot be used: a port is no number from 1 to 65535" + hint},
		{"port of the second host", "postgres://u:hunter2@h,i:99999/d", "--source-url: it cannot be used: a port is no number from 1 to 65535" + hint},
		{"/ in the password", "postgres://u:hunt/er2@h/d", "--source-url: it cannot be used: a port is no number from 1 to 65535" + hint},
		{"% in the password", "postgres://u:hunter2%@h/d", "--source-url: it cannot be used: it is malformed" + hint},
		{"open bracket", "postgres://u:hunter2@[::1/d", "--source-url: it cannot be used: it is malformed" + hint},
		{"parameter without a value", "postgres://u:hunter2@h/d?sslmode",
			`--source-url: it cannot be used: missing key/value separator "=" in URI query parameter: "sslmode"` + hint},
		{"a value that is the password", "postgres://u:hunter2@h/d?connect_timeout=hunter2", "--source-url: it cannot be used: it is malformed" + hint},
		{"sslmode", "postgres://u:hunter2@h/d?sslmode=on",
			"--source-url: it cannot be used: sslmode is none of disable, allow, prefer, require, verify-ca, verify-full" + hint},
		{"connect_timeout", "postgres://u:hunter2@h/d?connect_timeout=5s",
			`--source-url: it cannot be used: invalid connect_timeout: "5s" is no whole number` + hint},
		{"target_session_attrs", "postgres://u:hunter2@h/d?target_session_attrs=some",
			"--source-url: it cannot be used: unknown target_session_attrs value: some" + hint},
		{"channel_binding", "postgres://u:hunter2@h/d?channel_binding=maybe",
			"--source-url: it cannot be used: unknown channel_binding value: maybe" + hint},
		{"service", "postgres://u:hunter2@h/d?service=shop&servicefile=none.conf",
			"--source-url: it cannot be used: failed to read service file: none.conf" + hint},
		{"no authority", "postgres://u:hunter2@h/d?sslrootcert=none.pem",
			"--source-url: it cannot be used: sslrootcert cannot be read: open none.pem: no such file or directory" + hint},
		{"authority that is none", "postgres://u:hunter2@h/d?sslrootcert=junk",
			"--source-url: it cannot be used: sslrootcert holds no certificate in PEM" + hint},
		{"certificate without a key", "postgres://u:hunter2@h/d?sslmode=require&sslcert=junk",
			`--source-url: it cannot be used: both "sslcert" and "sslkey" are required` + hint},
		{"no key", "postgres://u:hunter2@h/d?sslmode=require&sslcert=junk&sslkey=none.key",
			"--source-url: it cannot be used: sslkey cannot be read: open none.key: no such file or directory" + hint},
		{"key that is none", "postgres://u:hunter2@h/d?sslmode=require&sslcert=junk&sslkey=junk",
			"--source-url: it cannot be used: sslkey holds no key in PEM" + hint},
	} {
		cfg := valid()
		cfg.URL = c.url
		err := Validate(cfg)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n %v, want\n %s", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "er2")) {
			t.Errorf("%s: the password is in: %v", c.name, err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`--pg-slot: "My-Slot" is no slot name: lower-case letters, digits and underscores are allowed, at most 63`: func(c *Config) { c.Slot = "My-Slot" },
		`--pg-publication: "" is no publication name: 1 to 63 bytes are allowed`:                                   func(c *Config) { c.Publication = "" },
		"--outbox-table: no table is named":                                                                        func(c *Config) { c.Tables = nil },
	} {
		c := valid()
		change(&c)
		if err := Validate(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What a server says of a first connection that can only mean a wrong URL.
func TestRefusedConnection(t *testing.T) {
	for _, c := range []struct {
		url  string
		err  error
		want string
	}{
		{"postgres://u@h/d", &pgconn.PgError{Code: "28P01", Message: `password authentication failed for user "u"`},
			`--source-url: the server refused the connection: password authentication failed for user "u"`},
		{"postgres://u@h/d", &pgconn.PgError{Code: "3D000", Message: `database "d" does not exist`},
			`--source-url: the server refused the connection: database "d" does not exist`},
		{"postgres://u@h/d?gssencmode=disable", &pgconn.PgError{Code: "42704", Message: `unrecognized configuration parameter "gssencmode"`},
			`--source-url: its parameter "gssencmode" is known neither to tailer nor to the server; leave it out, or write it as libpq or the server does`},
		{"postgres://u@h/d?sslmode=require", &pgconn.PgError{Code: "42704", Message: `unrecognized configuration parameter "client_connection_check_interval"`},
			`refused: the server is too old: unrecognized configuration parameter "client_connection_check_interval"; use PostgreSQL 14 or later`},
		{"postgres://u@h/d", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"--source-url: the server's certificate is not accepted: x509: certificate signed by unknown authority; " +
				"sslrootcert names the authority in PEM, sslcert and sslkey what the server asks of its clients"},
	} {
		if err := New(Config{URL: c.url}, nil).connectError("connect to the source", c.err); err == nil || err.Error() != c.want {
			t.Errorf("%v: got\n %v, want\n %s", c.err, err, c.want)
		}
	}
}
