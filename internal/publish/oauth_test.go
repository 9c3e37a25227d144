package publish

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// token is one without signature, which the test's broker takes, for a while.
func token(subject string, valid time.Duration) string {
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, now.Unix(), now.Add(valid).Unix())
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "."
}

func TestTokenFromAFile(t *testing.T) {
	stackEnv(t, "STACK_KAFKA_SECURE")
	s := Security{Mechanism: "OAUTHBEARER", TokenFile: secret(t, token("bearer", time.Hour))}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	r := secured(t, "STACK_KAFKA_SECURE", s)
	r.allow(t, "User:bearer")
	r.publishes(t)
}

func TestTokenFromAnEndpoint(t *testing.T) {
	stackEnv(t, "STACK_KAFKA_SECURE")
	var asked atomic.Int32
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		id, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		if id != "client" || password != "client-secret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"nothing for you"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token("client", time.Hour))
	}))
	defer endpoint.Close()
	s := Security{Mechanism: "OAUTHBEARER", TokenURL: endpoint.URL, Scope: "a b", Username: "client", PasswordFile: secret(t, "client-secret")}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	r := secured(t, "STACK_KAFKA_SECURE", s)
	r.allow(t, "User:client")
	r.publishes(t)
	if n := asked.Load(); n == 0 || n > 10 {
		t.Errorf("the endpoint was asked %d times", n)
	}

	s.PasswordFile = secret(t, "not-the-secret")
	_, err := secured(t, "STACK_KAFKA_SECURE", s).Identity(t.Context())
	if err == nil || !strings.Contains(err.Error(), "get a token from "+endpoint.URL+": the answer is 401 Unauthorized invalid_client") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// A token that expired is refused by the broker, and the next one is read anew.
func TestTokenThatExpired(t *testing.T) {
	stackEnv(t, "STACK_KAFKA_SECURE")
	file := secret(t, token("bearer", -time.Hour))
	r := secured(t, "STACK_KAFKA_SECURE", Security{Mechanism: "OAUTHBEARER", TokenFile: file})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begin := time.Now()
	var invalid *outbox.Invalid
	if _, err := r.Identity(ctx); !errors.As(err, &invalid) || invalid.Option != "kafka-sasl-mechanism" || time.Since(begin) > 10*time.Second {
		t.Fatalf("after %s: %v", time.Since(begin), err)
	}
	if err := os.WriteFile(file, []byte(token("bearer", time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(ctx); err != nil {
		t.Fatal(err)
	}
}
