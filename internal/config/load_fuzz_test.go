package config

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Whatever stands in flags, environment and file together: no panic, what is
// wrong is the user's to mend, and no password is shown.
func FuzzLoad(f *testing.F) {
	f.Add("--source-url\npostgres://u:hunter2@h:5432/db?sslmode=disable\n--kafka-brokers\na:1,b:2", "TAILER_NAME=x", "")
	f.Add("--source-url=mysql://u:hunter2@h/db\n--sink=stdout", "TAILER_COMMIT_INTERVAL=1h", "snapshot: never\n")
	f.Add("--outbox-table=a.b,c.d", "TAILER_SOURCE_URL=postgres:///db?host=/tmp\nTAILER_SINK=stdout\nTAILER_PORT=tcp://1", "tables:\n- table: a.b\n  key: \"{x}\"\n")
	f.Fuzz(func(t *testing.T, args, environ, content string) {
		for _, s := range []string{args, environ, content} {
			if strings.Contains(s, "file") || strings.Contains(strings.ToLower(s), "config") || strings.Contains(s, "-h") {
				return // would read files of this machine, or ask for help
			}
		}
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		fs.SetOutput(io.Discard)
		AddFlags(fs, Run)
		if fs.Parse(strings.Split(args, "\n")) != nil {
			return
		}
		env, _ := fromEnv(strings.Split(environ, "\n"))
		file, err := parseFile("t.yaml", []byte(content))
		if err != nil {
			return // see FuzzParseFile
		}
		c, err := build(Run, fromFlags(fs).over(env).over(file.settings), file)
		var bad *outbox.Invalid
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("got %T %v", err, err)
		}
		if err == nil && strings.Contains(c.SourceURL, ":hunter2@") && strings.Contains(c.String(), "hunter2") {
			t.Errorf("shows a password: %s", c)
		}
	})
}

// A password that a URL holds in one of the usual places is never shown.
func FuzzRedactURL(f *testing.F) {
	f.Add("u", "s3cret", "h:5432", "a=b")
	f.Add("u%40", "p@ss:w/rd", "h1:1,h2:2", "password=x")
	f.Fuzz(func(t *testing.T, user, password, host, query string) {
		const secret = "hunter2hunter2"
		for _, s := range []string{user, password, host, query} {
			if strings.Contains(s, "hunter") {
				return
			}
		}
		_ = databaseOf(host)
		_ = kindOf(password)
		_ = RedactURL(user + password + host + query)
		if strings.ContainsAny(user, "/?#@:") || strings.ContainsAny(host, "/?#@") {
			return // another URL than meant
		}
		for _, url := range []string{
			"postgres://" + user + ":" + secret + "@" + host + "/db?" + query,
			"mysql://" + user + ":" + secret + "@" + host,
			"postgres://" + host + "/db?password=" + secret + "&a=b",
		} {
			if got := RedactURL(url); strings.Contains(got, secret) {
				t.Errorf("%q is shown as %q", url, got)
			}
		}
	})
}
