package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefusedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	shake := func(c *tls.Config) error {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), c)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1)) // in TLS 1.3 the client hears of it here
		return err
	}
	for want, c := range map[string]*tls.Config{
		"the server's certificate is not accepted: x509: certificate signed by unknown authority": {},
		"the server's certificate is not accepted: x509: certificate is valid for":                {RootCAs: roots, ServerName: "other.example"},
		"the server does not accept our certificate: tls: certificate required":                   {RootCAs: roots, ServerName: "example.com"},
	} {
		if text, ok := RefusedCertificate(shake(c)); !ok || !strings.HasPrefix(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
	for _, err := range []error{nil, io.EOF, errors.New("tls: first record does not look like a TLS handshake"), &net.OpError{Op: "dial", Err: io.EOF}} {
		if text, ok := RefusedCertificate(err); ok {
			t.Errorf("%v: %q", err, text)
		}
	}
}
