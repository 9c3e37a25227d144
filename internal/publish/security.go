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
	// Mechanism is "", PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER;
	// with build tag msk AWS_MSK_IAM too, which needs nothing else.
	Mechanism string
	// Username and the content of PasswordFile, less a trailing newline, are
	// the credentials; for OAUTHBEARER those of the client at TokenURL.
	Username     string
	PasswordFile string
	// TokenFile holds a token for OAUTHBEARER, or TokenURL is asked for one,
	// with the scopes of Scope, separated by blanks.
	TokenFile, TokenURL, Scope string
}

// Mechanisms lists the SASL mechanisms, for usage texts and validation.
func Mechanisms() []string {
	m := []string{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512, sarama.SASLTypeOAuth}
	if mechanismMSK != "" {
		m = append(m, mechanismMSK)
	}
	return m
}

// Validate checks everything that can be checked without a connection, the
// files included. Its errors are *outbox.Invalid.
func (s Security) Validate() error {
	switch {
	case (s.CertFile == "") != (s.KeyFile == ""):
		return &outbox.Invalid{Option: "kafka-tls-cert-file", Text: "goes together with --kafka-tls-key-file"}
	case s.Mechanism != "" && !slices.Contains(Mechanisms(), s.Mechanism):
		return &outbox.Invalid{Option: "kafka-sasl-mechanism", Text: fmt.Sprintf("%q is not one of %s", s.Mechanism, strings.Join(Mechanisms(), ", "))}
	}
	if err := s.validateSASL(); err != nil {
		return err
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
	conf.Net.SASL.Enable = true
	conf.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
	conf.Net.SASL.Version = sarama.SASLHandshakeV1
	if s.isToken() {
		conf.Net.SASL.Mechanism = sarama.SASLTypeOAuth
		conf.Net.SASL.TokenProvider = s.bearer()
		return nil
	}
	password, err := s.password()
	if err != nil {
		return err
	}
	conf.Net.SASL.User = s.Username
	conf.Net.SASL.Password = password
	conf.Net.SASL.SCRAMClientGeneratorFunc = scramGenerator(s.Mechanism)
	return nil
}

// isToken tells the mechanisms that show a token from those with a password.
func (s Security) isToken() bool {
	return s.Mechanism == sarama.SASLTypeOAuth || s.isMSK()
}

func (s Security) isMSK() bool { return mechanismMSK != "" && s.Mechanism == mechanismMSK }

func (s Security) password() (string, error) {
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", &outbox.Invalid{Option: "kafka-sasl-password-file", Text: err.Error()}
	}
	return string(bytes.TrimRight(password, "\r\n")), nil
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
			return nil, &outbox.Invalid{Option: "kafka-tls-cert-file",
				Text: fmt.Sprintf("%s cannot be used with --kafka-tls-key-file %s: %s", s.CertFile, s.KeyFile, strings.TrimPrefix(err.Error(), "tls: "))}
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
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed) && s.isToken():
		return &outbox.Invalid{Option: "kafka-sasl-mechanism", Text: "the broker refused the token: " + err.Error(),
			Hint: "check who issued it, for whom, and until when"}
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
