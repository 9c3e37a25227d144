package publish

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/IBM/sarama"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Security says how connections to the brokers are protected and who we are.
// The zero value is plain text and nobody. Files are read at each new
// connection, so that what was rotated is picked up by the next one.
type Security struct {
	// TLS switches it on; the other fields of TLS do too.
	TLS bool
	// CAFile holds the authorities in PEM that brokers' certificates must come
	// from; "" means the system's.
	CAFile string
	// CertFile and KeyFile are the client's own certificate and key, PEM; both
	// or none.
	CertFile, KeyFile string
	// Mechanism is "", PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism string
	// Username and the content of PasswordFile, less a trailing newline, are
	// the credentials.
	Username     string
	PasswordFile string
}

// Mechanisms lists the SASL mechanisms, for usage texts and validation.
func Mechanisms() []string {
	return []string{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512}
}

// Validate checks everything that can be checked without a connection, the
// files included. Its errors are *outbox.Invalid.
func (s Security) Validate() error {
	switch {
	case (s.CertFile == "") != (s.KeyFile == ""):
		return &outbox.Invalid{Option: "kafka-tls-cert-file", Text: "goes together with --kafka-tls-key-file"}
	case s.Mechanism == "" && (s.Username != "" || s.PasswordFile != ""):
		return &outbox.Invalid{Option: "kafka-sasl-mechanism", Text: "is missing: allowed are " + strings.Join(Mechanisms(), ", ")}
	case s.Mechanism != "" && !slices.Contains(Mechanisms(), s.Mechanism):
		return &outbox.Invalid{Option: "kafka-sasl-mechanism", Text: fmt.Sprintf("%q is not one of %s", s.Mechanism, strings.Join(Mechanisms(), ", "))}
	case s.Mechanism != "" && s.Username == "":
		return &outbox.Invalid{Option: "kafka-sasl-username", Text: "is required with --kafka-sasl-mechanism"}
	case s.Mechanism != "" && s.PasswordFile == "":
		return &outbox.Invalid{Option: "kafka-sasl-password-file", Text: "is required with --kafka-sasl-mechanism"}
	}
	return s.apply(sarama.NewConfig())
}

func (s Security) tls() bool { return s.TLS || s.CAFile != "" || s.CertFile != "" }

// apply makes the settings of one connection.
func (s Security) apply(conf *sarama.Config) error {
	if s.tls() {
		c, err := s.tlsConfig()
		if err != nil {
			return err
		}
		conf.Net.TLS.Enable, conf.Net.TLS.Config = true, c
	}
	if s.Mechanism == "" {
		return nil
	}
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return &outbox.Invalid{Option: "kafka-sasl-password-file", Text: err.Error()}
	}
	conf.Net.SASL.Enable = true
	conf.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
	conf.Net.SASL.Version = sarama.SASLHandshakeV1
	conf.Net.SASL.User = s.Username
	conf.Net.SASL.Password = string(bytes.TrimRight(password, "\r\n"))
	conf.Net.SASL.SCRAMClientGeneratorFunc = scramGenerator(s.Mechanism)
	return nil
}

func (s Security) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, &outbox.Invalid{Option: "kafka-tls-ca-file", Text: err.Error()}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &outbox.Invalid{Option: "kafka-tls-ca-file", Text: s.CAFile + " holds no certificate in PEM"}
		}
	}
	if s.CertFile != "" {
		own, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, &outbox.Invalid{Option: "kafka-tls-cert-file", Text: err.Error()}
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// explain makes what can only be wrong credentials *outbox.Invalid, as long as
// no connection ever worked; later it may be a rotation under way, and passes.
func (s Security) explain(err error) error {
	var bad *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return &outbox.Invalid{Option: "kafka-sasl-password-file", Text: fmt.Sprintf("the broker refused %s as %s", s.Username, s.Mechanism),
			Hint: "check --kafka-sasl-mechanism, --kafka-sasl-username and the password"}
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism):
		return &outbox.Invalid{Option: "kafka-sasl-mechanism", Text: fmt.Sprintf("the broker does not take %s", s.Mechanism)}
	case errors.As(err, &bad):
		return &outbox.Invalid{Option: "kafka-tls-ca-file", Text: "the broker's certificate is not accepted: " + bad.Err.Error()}
	case s.tls() && (errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls:")):
		return &outbox.Invalid{Option: "kafka-tls-cert-file", Text: "the broker does not accept our certificate: " + err.Error()}
	}
	return err
}
