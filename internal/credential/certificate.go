package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// RefusedCertificate tells a TLS handshake that failed for a certificate from
// every other error: theirs, which we do not accept, or ours, which they do
// not. Trying again does not help. The text says which and why.
func RefusedCertificate(err error) (text string, ok bool) {
	var alert tls.AlertError
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return "", false
	case errors.As(err, &verification):
		err = verification.Err
	case errors.As(err, &authority):
		err = authority
	case errors.As(err, &name):
		err = name
	case errors.As(err, &invalid):
		err = invalid
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls: "):
		_, after, _ := strings.Cut(err.Error(), "remote error: ")
		return "the server does not accept our certificate: " + after, true
	default:
		return "", false
	}
	return "the server's certificate is not accepted: " + err.Error(), true
}
