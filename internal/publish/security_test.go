package publish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailer-io/tailer/internal/outbox"
	"github.com/tailer-io/tailer/internal/outboxtest"
)

// stackEnv gives a variable of the real broker's protected listeners, or skips.
func stackEnv(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Skip(name + " is not set; scripts/stack up kafka brings a broker with protected listeners")
	}
	return v
}

// tool runs one of Kafka's own programs with the administrator's rights.
func tool(t *testing.T, class string, args ...string) {
	t.Helper()
	java := stackEnv(t, "STACK_JAVA")
	full := append([]string{"-XX:TieredStopAtLevel=1", "-cp", stackEnv(t, "STACK_KAFKA_CLASSPATH"), class,
		"--bootstrap-server", brokers(t)[0]}, args...)
	if out, err := exec.Command(java, full...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", class, args, err, out)
	}
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// secured is a rig that talks to a protected listener.
func secured(t *testing.T, listener string, s Security) *rig {
	t.Helper()
	addr := stackEnv(t, listener)
	if s.CAFile == "" {
		s.CAFile = filepath.Join(stackEnv(t, "STACK_TLS_DIR"), "ca.pem")
	}
	return newRig(t, func(c *KafkaConfig) { c.Brokers, c.Security = []string{addr}, s })
}

// grant gives a principal the rights that SetupLines prints, and creates what
// it prints, by running those very lines.
func (r *rig) grant(t *testing.T, principal string) {
	t.Helper()
	for _, line := range r.SetupLines(r.topic) {
		words := strings.Fields(strings.ReplaceAll(line, "'", ""))
		class := map[string]string{"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-acls.sh": "org.apache.kafka.tools.AclCommand"}[words[0]]
		if class == "" {
			t.Fatalf("setup prints %q", line)
		}
		var args []string
		for i := 1; i < len(words); i++ {
			switch words[i] {
			case "--bootstrap-server":
				i++
			case "--replication-factor": // one broker here
				args = append(args, words[i], "1")
				i++
			case "--allow-principal":
				args = append(args, words[i], principal)
				i++
			default:
				if strings.HasPrefix(words[i], "min.insync.replicas=") {
					words[i] = "min.insync.replicas=1"
				}
				args = append(args, words[i])
			}
		}
		tool(t, class, args...)
	}
}

// allow gives a principal every right on the names of this rig, by an
// administrator's requests. That less is enough is what grant is for; its
// programs take seconds each.
func (r *rig) allow(t *testing.T, principal string) {
	t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for name, kind := range map[string]kmsg.ACLResourceType{
		r.topic: kmsg.ACLResourceTypeTopic, r.cfg.CheckpointTopic: kmsg.ACLResourceTypeTopic, r.cfg.TransactionalID: kmsg.ACLResourceTypeTransactionalId,
	} {
		one := kmsg.NewCreateACLsRequestCreation()
		one.ResourceType, one.ResourceName, one.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
		one.Principal, one.Host = principal, "*"
		one.Operation, one.PermissionType = kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, one)
	}
	resp, err := req.RequestWith(t.Context(), r.peer)
	must(t, err)
	for _, result := range resp.Results {
		must(t, kerr.ErrorForCode(result.ErrorCode))
	}
	r.createTopic(r.cfg.CheckpointTopic, 1, "cleanup.policy", "compact")
}

// publishes proves that everything tailer asks of Kafka is allowed.
func (r *rig) publishes(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if there, err := r.Exists(ctx); err != nil || !there {
		t.Fatalf("checkpoint topic: %t, %v", there, err)
	}
	if err := r.Fence(ctx, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	m := &outbox.Messages{List: []outbox.Message{
		{Topic: r.topic, Partition: outbox.ByKey, Key: []byte("k"), Value: []byte("v")},
		{Topic: r.cfg.CheckpointTopic, Key: []byte("name"), Value: []byte("record"), Row: -1},
	}}
	for _, step := range []func() error{
		func() error { return r.Admit(ctx, m, nil) },
		func() error { return r.Join(ctx, m) },
		func() error { return r.Produce(ctx, m) },
		func() error { return r.Commit(ctx) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Newest(ctx, []string{"name"}, nil)
	for ; err == nil && got["name"] == nil && ctx.Err() == nil; got, err = r.Newest(ctx, []string{"name"}, nil) {
	}
	if err != nil || string(got["name"]) != "record" {
		t.Fatalf("newest: %q, %v", got["name"], err)
	}
}

func TestSASL(t *testing.T) {
	stackEnv(t, "STACK_KAFKA_SECURE")
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		tool(t, "kafka.admin.ConfigCommand", "--alter", "--entity-type", "users", "--entity-name", "scram",
			"--add-config", mechanism+"=[password=scram-secret]")
	}
	for mechanism, user := range map[string]string{"PLAIN": "plain", "SCRAM-SHA-256": "scram", "SCRAM-SHA-512": "scram"} {
		t.Run(mechanism, func(t *testing.T) {
			s := Security{Mechanism: mechanism, Username: user, PasswordFile: secret(t, user+"-secret")}
			r := secured(t, "STACK_KAFKA_SECURE", s)
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			if mechanism == "SCRAM-SHA-512" {
				r.grant(t, "User:"+user)
			} else {
				r.allow(t, "User:"+user)
			}
			r.publishes(t)
		})
	}
}

func TestMutualTLS(t *testing.T) {
	dir := stackEnv(t, "STACK_TLS_DIR")
	r := secured(t, "STACK_KAFKA_MTLS", Security{CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key")})
	r.grant(t, "User:CN=client")
	r.publishes(t)
}

// What can only be a wrong configuration is said once, names the option, and
// is not tried again and again; no secret is in it.
func TestWrongCredentials(t *testing.T) {
	dir := stackEnv(t, "STACK_TLS_DIR")
	pem := func(name string) string { return filepath.Join(dir, name) }
	plain := Security{Mechanism: "PLAIN", Username: "plain", PasswordFile: secret(t, "not-the-secret")}
	for name, c := range map[string]struct {
		listener string
		s        Security
		option   string
	}{
		"password":            {"STACK_KAFKA_SECURE", plain, "kafka-sasl-password-file"},
		"scram user":          {"STACK_KAFKA_SECURE", Security{Mechanism: "SCRAM-SHA-512", Username: "nobody", PasswordFile: plain.PasswordFile}, "kafka-sasl-password-file"},
		"authority":           {"STACK_KAFKA_SECURE", Security{CAFile: pem("other-ca.pem"), Mechanism: "PLAIN", Username: "plain", PasswordFile: plain.PasswordFile}, "kafka-tls-ca-file"},
		"expired certificate": {"STACK_KAFKA_MTLS", Security{CertFile: pem("expired.pem"), KeyFile: pem("expired.key")}, "kafka-tls-cert-file"},
		"no certificate":      {"STACK_KAFKA_MTLS", Security{}, "kafka-tls-cert-file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := secured(t, c.listener, c.s)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			start := time.Now()
			_, err := r.Identity(ctx)
			var invalid *outbox.Invalid
			if !errors.As(err, &invalid) || invalid.Option != c.option {
				t.Fatalf("got %v, want --%s", err, c.option)
			}
			if strings.Contains(err.Error(), "not-the-secret") {
				t.Errorf("the secret is in %q", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// A password that changes is picked up by the next connection; one that is
// refused after it worked is an error like any other, which passes.
func TestRotatedPassword(t *testing.T) {
	stackEnv(t, "STACK_KAFKA_SECURE")
	file := secret(t, "plain-secret")
	r := secured(t, "STACK_KAFKA_SECURE", Security{Mechanism: "PLAIN", Username: "plain", PasswordFile: file})
	ctx := context.Background()
	if _, err := r.Identity(ctx); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := os.WriteFile(file, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	var invalid *outbox.Invalid
	if _, err := r.Identity(ctx); err == nil || errors.As(err, &invalid) {
		t.Fatalf("got %v, want a transient error", err)
	}
	if err := os.WriteFile(file, []byte("plain-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestEveryRefusalHasItsText(t *testing.T) {
	outboxtest.Refusals(t, map[string]int{"invalid": 1})
}

func TestSecurityValidate(t *testing.T) {
	dir := t.TempDir()
	empty, password, junk := filepath.Join(dir, "empty"), secret(t, "x"), secret(t, "no certificate")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const oauth = "OAUTHBEARER"
	for _, c := range []struct {
		name string
		s    Security
		want string
	}{
		{"certificate without its key", Security{CertFile: "c.pem"}, "--kafka-tls-cert-file: goes together with --kafka-tls-key-file"},
		{"key without its certificate", Security{KeyFile: "c.key"}, "--kafka-tls-cert-file: goes together with --kafka-tls-key-file"},
		{"no certificate", Security{CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/c.key"},
			"--kafka-tls-cert-file: /nowhere/c.pem cannot be used with --kafka-tls-key-file /nowhere/c.key: open /nowhere/c.pem: no such file or directory"},
		{"certificate that is none", Security{CertFile: junk, KeyFile: junk},
			"--kafka-tls-cert-file: " + junk + " cannot be used with --kafka-tls-key-file " + junk + ": failed to find any PEM data in certificate input"},
		{"no authority", Security{CAFile: "/nowhere/ca.pem"}, "--kafka-tls-ca-file: open /nowhere/ca.pem: no such file or directory"},
		{"authority that is none", Security{CAFile: junk}, "--kafka-tls-ca-file: " + junk + " holds no certificate in PEM"},

		{"user without a mechanism", Security{Username: "u"}, "--kafka-sasl-mechanism: is missing: allowed are " + strings.Join(Mechanisms(), ", ")},
		{"scope without a mechanism", Security{Scope: "a"}, "--kafka-sasl-mechanism: is missing: allowed are " + strings.Join(Mechanisms(), ", ")},
		{"mechanism", Security{Mechanism: "scram"}, `--kafka-sasl-mechanism: "scram" is not one of ` + strings.Join(Mechanisms(), ", ")},
		{"no user", Security{Mechanism: "PLAIN"}, "--kafka-sasl-username: is required with --kafka-sasl-mechanism"},
		{"no password", Security{Mechanism: "PLAIN", Username: "u"}, "--kafka-sasl-password-file: is required with --kafka-sasl-mechanism"},
		{"password file", Security{Mechanism: "PLAIN", Username: "u", PasswordFile: "/nowhere/password"},
			"--kafka-sasl-password-file: open /nowhere/password: no such file or directory"},
		{"empty password", Security{Mechanism: "SCRAM-SHA-256", Username: "u", PasswordFile: empty}, "--kafka-sasl-password-file: " + empty + " is empty"},
		{"token for PLAIN", Security{Mechanism: "PLAIN", Username: "u", PasswordFile: password, TokenURL: "http://h"},
			"--kafka-sasl-mechanism: is PLAIN, and tokens go with OAUTHBEARER"},

		{"no token", Security{Mechanism: oauth}, "--kafka-sasl-token-file: or --kafka-sasl-token-url is required with OAUTHBEARER"},
		{"two tokens", Security{Mechanism: oauth, TokenFile: "t", TokenURL: "http://h"},
			"--kafka-sasl-token-file: is not allowed beside --kafka-sasl-token-url: there is one token"},
		{"token of a user", Security{Mechanism: oauth, TokenFile: "t", Username: "u"},
			"--kafka-sasl-token-file: needs neither user nor password nor scope: the token says who we are"},
		{"token file", Security{Mechanism: oauth, TokenFile: "/nowhere/token"}, "--kafka-sasl-token-file: open /nowhere/token: no such file or directory"},
		{"empty token", Security{Mechanism: oauth, TokenFile: empty}, "--kafka-sasl-token-file: " + empty + " is empty"},
		{"endpoint", Security{Mechanism: oauth, TokenURL: "login.example/token?secret=x"}, "--kafka-sasl-token-url: is not a URL such as https://host/token"},
		{"endpoint without a host", Security{Mechanism: oauth, TokenURL: "https:///token"}, "--kafka-sasl-token-url: is not a URL such as https://host/token"},
		{"endpoint and no client", Security{Mechanism: oauth, TokenURL: "http://h"},
			"--kafka-sasl-username: is required with OAUTHBEARER and --kafka-sasl-token-url, as the client's id"},
		{"endpoint and no secret", Security{Mechanism: oauth, TokenURL: "http://h", Username: "u"},
			"--kafka-sasl-password-file: is required with OAUTHBEARER and --kafka-sasl-token-url, with the client's secret"},
	} {
		if err := c.s.Validate(); err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
	for _, s := range []Security{{}, {Mechanism: "PLAIN", Username: "u", PasswordFile: password},
		{Mechanism: oauth, TokenFile: password}, {Mechanism: oauth, TokenURL: "http://h", Username: "u", PasswordFile: password}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// What brokers say that can only mean a wrong configuration. TestWrongCredentials
// hears it of a real one.
func TestExplain(t *testing.T) {
	scram := Security{Mechanism: "SCRAM-SHA-256", Username: "u", PasswordFile: "p"}
	for _, c := range []struct {
		s    Security
		err  error
		want string
	}{
		{scram, sarama.ErrSASLAuthenticationFailed,
			"--kafka-sasl-password-file: the broker refused u as SCRAM-SHA-256; check --kafka-sasl-mechanism, --kafka-sasl-username and the password"},
		{Security{Mechanism: "OAUTHBEARER", TokenFile: "t"}, sarama.ErrSASLAuthenticationFailed,
			"--kafka-sasl-mechanism: the broker refused the token: " + sarama.ErrSASLAuthenticationFailed.Error() + "; check who issued it, for whom, and until when"},
		{scram, sarama.ErrUnsupportedSASLMechanism, "--kafka-sasl-mechanism: the broker does not take SCRAM-SHA-256"},
		{Security{TLS: true}, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"--kafka-tls-ca-file: the broker's certificate is not accepted: x509: certificate signed by unknown authority"},
		{Security{TLS: true}, errors.New("remote error: tls: certificate required"),
			"--kafka-tls-cert-file: the broker does not accept our certificate: remote error: tls: certificate required"},
		{Security{}, errors.New("remote error: tls: certificate required"), "remote error: tls: certificate required"},
	} {
		if err := c.s.explain(c.err); err.Error() != c.want {
			t.Errorf("%v:\n got %v\nwant %s", c.err, err, c.want)
		}
	}
}
