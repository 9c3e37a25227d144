package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tlsMode is MySQL's --ssl-mode, see
// https://dev.mysql.com/doc/refman/8.4/en/connection-options.html#option_general_ssl-mode.
type tlsMode string

const (
	tlsDisabled       tlsMode = "disabled"
	tlsPreferred      tlsMode = "preferred" // TLS where the server has it, unverified
	tlsRequired       tlsMode = "required"  // TLS, unverified
	tlsVerifyCA       tlsMode = "verify-ca"
	tlsVerifyIdentity tlsMode = "verify-identity"
)

func parseTLSMode(s string) (tlsMode, error) {
	switch m := tlsMode(s); m {
	case tlsDisabled, tlsPreferred, tlsRequired, tlsVerifyCA, tlsVerifyIdentity:
		return m, nil
	}
	return "", fmt.Errorf("ssl-mode %q is none of disabled, preferred, required, verify-ca, verify-identity", s)
}

// tlsConfig is what a connection to a host uses; nil for none.
func (a *address) tlsConfig(to endpoint) (*tls.Config, error) {
	if a.tls == tlsDisabled || to.network == "unix" && a.tls == tlsPreferred {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: to.name}
	if a.ca != "" {
		pem, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, &outbox.Invalid{Option: "source-url", Text: "ssl-ca cannot be read: " + err.Error()}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &outbox.Invalid{Option: "source-url", Text: "ssl-ca " + a.ca + " holds no certificate in PEM"}
		}
	}
	if a.cert != "" {
		own, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return nil, &outbox.Invalid{Option: "source-url",
				Text: fmt.Sprintf("ssl-cert %s and ssl-key %s cannot be used: %s", a.cert, a.key, strings.TrimPrefix(err.Error(), "tls: "))}
		}
		c.Certificates = []tls.Certificate{own}
	}
	switch a.tls {
	case tlsVerifyIdentity:
	case tlsVerifyCA:
		// The chain without the name: the standard check does both or none.
		c.InsecureSkipVerify = true
		roots := c.RootCAs
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the server showed no certificate")
			}
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(o)
			return err
		}
	default:
		c.InsecureSkipVerify = true
	}
	return c, nil
}
