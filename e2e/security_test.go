package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/e2e/check"
	"github.com/tailer-io/tailer/e2e/harness"
)

// protectedPostgres is a cluster that takes nobody but the superuser without a password, and role relay over TLS
// only. Its certificate is that of the broker, for 127.0.0.1.
func protectedPostgres(t *testing.T) (server *ownPostgres, ca string) {
	t.Helper()
	tls := harness.Env(t, "STACK_TLS_DIR")
	server = newOwnPostgres(t)
	server.stop()
	for _, f := range []string{"server.chain.pem", "server.key", "ca.pem"} {
		content, err := os.ReadFile(filepath.Join(tls, f))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(server.dir, f)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			server.run(exec.Command("chown", "postgres", path))
		}
	}
	hba := "host all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n" +
		"hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n" +
		"hostssl all relay 127.0.0.1/32 scram-sha-256\n"
	config := "ssl=on\nssl_cert_file='server.chain.pem'\nssl_key_file='server.key'\nssl_ca_file='ca.pem'\npassword_encryption='scram-sha-256'\n"
	for name, text := range map[string]string{"pg_hba.conf": hba, "postgresql.auto.conf": config} {
		if err := os.WriteFile(filepath.Join(server.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server.start()
	return server, filepath.Join(tls, "ca.pem")
}

// as is a case's URL for another account and with other parameters; the password is not in it.
func as(c *harness.Case, account, parameters string) string {
	url, _, _ := strings.Cut(c.DB.URL(), "?")
	return "--source-url=" + strings.Replace(url, "//postgres@", "//"+account+"@", 1) + "?" + parameters
}

func secret(t *testing.T, path, text string) {
	t.Helper()
	// Renamed into place, as what mounts secrets does it.
	if err := os.WriteFile(path+".new", []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A password is read anew for each connection, from a file or from a command, and shows up nowhere.
func TestARotatedPasswordIsPickedUp(t *testing.T) {
	t.Parallel()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	server, ca := protectedPostgres(t)
	for _, way := range []string{"file", "command"} {
		t.Run(way, func(t *testing.T) {
			c := world(t, harness.PostgresAt(server.url()))
			c.DB.Exec(t, "DROP ROLE IF EXISTS relay; CREATE ROLE relay LOGIN REPLICATION PASSWORD 'hidden-one'; ALTER TABLE outbox OWNER TO relay; GRANT CREATE ON DATABASE "+c.DB.Name()+" TO relay")
			t.Cleanup(func() { c.DB.Exec(t, "REASSIGN OWNED BY relay TO postgres; DROP OWNED BY relay") })
			path := filepath.Join(t.TempDir(), "password")
			secret(t, path, "hidden-one")
			options := []string{as(c, "relay", "sslrootcert="+ca), "--source-password-file=" + path}
			if way == "command" {
				options[1] = "--source-password-command=cat " + path
			}
			c.Kafka.Create(t, harness.Topic(c.Type), 1)
			r := c.Follow(harness.Topic(c.Type))
			book := c.Ledger()
			p := c.Start(options...)
			book.Insert("k", "with the first password")
			c.Arrived(r, 1, 20*time.Second)

			c.DB.Exec(t, "ALTER ROLE relay PASSWORD 'hidden-two'")
			c.DB.EndSessions(t, c.ID, harness.AllSessions)
			c.Wait("it says what it waits for", 30*time.Second, func() (bool, string) {
				code, body := p.Get("/readyz")
				return code == 503 && strings.Contains(body, "password authentication failed"), fmt.Sprint(code, " ", body)
			})
			secret(t, path, "hidden-two")
			book.Insert("k", "with the second password")
			c.Arrived(r, 2, 60*time.Second)

			// Neither the log nor the page nor the command line of anybody's ps.
			arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
			if err != nil {
				t.Fatal(err)
			}
			_, status := p.Get("/status")
			_, page := p.Get("/")
			p.Stop()
			for what, text := range map[string]string{"log": p.Stderr(), "/status": status, "page": page, "command line": string(arguments)} {
				if strings.Contains(text, "hidden-") {
					t.Errorf("the password is in the %s:\n%s", what, text)
				}
			}
			c.Check(book.Want(), check.ExactlyOnce)
		})
	}
}

// What can only be wrong is one clear error with status 2, at once.
func TestWrongCredentialsAreOneError(t *testing.T) {
	t.Parallel()
	if kind() != "postgres" {
		t.Skipf("E2E_SOURCE is %s", kind())
	}
	server, ca := protectedPostgres(t)
	c := world(t, harness.PostgresAt(server.url()))
	c.DB.Exec(t, "CREATE ROLE relay LOGIN REPLICATION PASSWORD 'right'; CREATE ROLE certified LOGIN REPLICATION PASSWORD 'right'")
	dir := filepath.Dir(ca)
	right, wrong := filepath.Join(t.TempDir(), "right"), filepath.Join(t.TempDir(), "wrong")
	secret(t, right, "right")
	secret(t, wrong, "hidden")
	for _, k := range []struct{ account, parameters, file, want string }{
		{"relay", "sslrootcert=" + ca, wrong, `password authentication failed for user "relay"`},
		{"relay", "sslrootcert=" + filepath.Join(dir, "other-ca.pem"), right, "the server's certificate is not accepted: x509: certificate signed by unknown authority"},
		{"relay", "sslmode=verify-full", right, "the server's certificate is not accepted: x509: certificate signed by unknown authority"},
		{"certified", "sslrootcert=" + ca, right, "certificate"},
		{"certified", "sslrootcert=" + ca + "&sslcert=" + dir + "/expired.chain.pem&sslkey=" + dir + "/expired.key", right, "expired certificate"},
		{"relay", "sslmode=disable", right, "no encryption"},
	} {
		begin := time.Now()
		p := c.Run(as(c, k.account, k.parameters), "--source-password-file="+k.file)
		p.Want(2, 20*time.Second)
		holds(t, k.parameters, p.Stderr(), k.want)
		if n := strings.Count(p.Stderr(), "level=WARN"); n > 0 || time.Since(begin) > 10*time.Second {
			t.Errorf("%s: %d warnings in %v:\n%s", k.parameters, n, time.Since(begin), p.Stderr())
		}
		if strings.Contains(p.Stderr(), "hidden") {
			t.Errorf("the password is in the log:\n%s", p.Stderr())
		}
	}
	// With the right ones all is well.
	p := c.Do(1, "check", c.Flags(as(c, "certified", "sslrootcert="+ca+"&sslcert="+dir+"/client.chain.pem&sslkey="+dir+"/client.key"),
		"--source-password-file="+right)...)
	holds(t, "check", p.Stdout(), "ok    connection")
}
