package mysql

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// authority makes certificates in a folder that servers may read.
type authority struct {
	testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	dir, err := os.MkdirTemp("/var/tmp", "tailer-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a := &authority{TB: t, dir: dir}
	a.issue("ca", nil)
	return a
}

// issue writes NAME.pem and NAME.key. The first one is the authority's own.
func (a *authority) issue(name string, ip net.IP) (cert, key string) {
	a.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.cert == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip != nil {
		c.IPAddresses = []net.IP{ip}
	}
	if a.cert == nil {
		a.cert, a.key = c, k
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: raw}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o644); err != nil {
			a.Fatal(err)
		}
	}
	return cert, key
}

// Every connection, the stream's too, shows our certificate to a server that
// asks for it. Of several hosts each has to prove its own name.
func TestCertificates(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			cert, key := a.issue("server", net.IPv4(127, 0, 0, 1))
			w := private(t, env, 1, "--ssl-ca="+filepath.Join(a.dir, "ca.pem"), "--ssl-cert="+cert, "--ssl-key="+key)
			w.app()
			w.exec("create user 'certified'@'%' require x509", "grant all on *.* to 'certified'@'%'")
			cert, key = a.issue("client", nil)
			_, port, _ := net.SplitHostPort(w.url.Host)
			at := func(query string, hosts ...string) *Source {
				cfg := w.at(hosts...)
				cfg.URL = strings.Replace(cfg.URL, "root@", "certified@", 1) + "?ssl-ca=" + filepath.Join(a.dir, "ca.pem") + query
				s := New(cfg, quiet())
				t.Cleanup(s.Close)
				return s
			}
			own := "&ssl-cert=" + cert + "&ssl-key=" + key

			s := at(own, "localhost:"+port, "127.0.0.1:"+port)
			if _, err := s.Connect(w.ctx()); err != nil {
				t.Fatal(err)
			}
			if s.at.name != "127.0.0.1" || !strings.Contains(strings.Join(s.behind, "; "), "localhost:"+port+": ") {
				t.Errorf("%s was chosen; %q", s.at.host, s.behind)
			}
			start := w.here(s)
			w.exec(insert(1))
			got := w.drain(s, start)
			w.want(rows(got), row(1))
			if held, _, err := s.TryLock(w.ctx()); err != nil || !held {
				t.Errorf("lock: %v", err)
			}
			if err := s.Watch(w.ctx()); err != nil {
				t.Error(err)
			}

			var inv *outbox.Invalid
			if _, err := at(own, "localhost:"+port).Connect(w.ctx()); !errors.As(err, &inv) || !strings.Contains(inv.Text, "certificate is not accepted") {
				t.Errorf("another name: %v", err)
			}
			if _, err := at("", "127.0.0.1:"+port).Connect(w.ctx()); !errors.As(err, &inv) {
				t.Errorf("without a certificate of our own: %v", err)
			}
			if _, err := at("", "127.0.0.1:"+port, "localhost:"+port).Connect(w.ctx()); !errors.As(err, &inv) {
				t.Errorf("two hosts that do not take us: %v", err)
			}
		})
	}
}
