package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tokenWithin bounds the question for a token.
const tokenWithin = 10 * time.Second

// bearer gives sarama a token for each connection, and again when the broker
// wants to see a new one (KIP-255, KIP-368).
type bearer func(context.Context) (string, error)

// Token is called by sarama.
func (b bearer) Token() (*sarama.AccessToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenWithin)
	defer cancel()
	token, err := b(ctx)
	if err != nil {
		return nil, err
	}
	return &sarama.AccessToken{Token: token}, nil
}

// bearer is where tokens come from: a file that somebody else keeps fresh, or
// the token endpoint by client credentials (RFC 6749, section 4.4).
func (s Security) bearer() bearer {
	if s.isMSK() {
		return mskToken
	}
	if s.TokenFile != "" {
		return func(context.Context) (string, error) {
			token, err := os.ReadFile(s.TokenFile)
			if err != nil {
				return "", fmt.Errorf("read the token: %w", err)
			}
			return strings.TrimSpace(string(token)), nil
		}
	}
	return func(ctx context.Context) (string, error) {
		secret, err := s.password()
		if err != nil {
			return "", err
		}
		c := clientcredentials.Config{ClientID: s.Username, ClientSecret: secret, TokenURL: s.TokenURL}
		if s.Scope != "" {
			c.Scopes = strings.Fields(s.Scope)
		}
		ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: tokenWithin})
		token, err := c.Token(ctx)
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			// Its own text repeats the whole answer.
			return "", fmt.Errorf("get a token from %s: the answer is %s %s", s.TokenURL, refused.Response.Status, refused.ErrorCode)
		}
		if err != nil {
			return "", fmt.Errorf("get a token from %s: %w", s.TokenURL, err)
		}
		return token.AccessToken, nil
	}
}

// validateSASL checks that what the mechanism needs is there, and nothing else.
func (s Security) validateSASL() error {
	invalid := func(option, text string) error { return &outbox.Invalid{Option: option, Text: text} }
	oauth := s.Mechanism == sarama.SASLTypeOAuth
	switch {
	case s.Mechanism == "" && (s.Username != "" || s.PasswordFile != "" || s.TokenFile != "" || s.TokenURL != "" || s.Scope != ""):
		return invalid("kafka-sasl-mechanism", "is missing: allowed are "+strings.Join(Mechanisms(), ", "))
	case s.Mechanism == "":
		return nil
	case s.isMSK() && s != (Security{Mechanism: s.Mechanism, TLS: s.TLS, CAFile: s.CAFile, CertFile: s.CertFile, KeyFile: s.KeyFile}):
		return invalid("kafka-sasl-mechanism", "AWS_MSK_IAM takes who we are from AWS alone: no user, password or token")
	case s.isMSK():
		return nil
	case !oauth && (s.TokenFile != "" || s.TokenURL != "" || s.Scope != ""):
		return invalid("kafka-sasl-mechanism", "is "+s.Mechanism+", and tokens go with OAUTHBEARER")
	case oauth && s.TokenFile == "" && s.TokenURL == "":
		return invalid("kafka-sasl-token-file", "or --kafka-sasl-token-url is required with OAUTHBEARER")
	case oauth && s.TokenFile != "" && s.TokenURL != "":
		return invalid("kafka-sasl-token-file", "is not allowed beside --kafka-sasl-token-url: there is one token")
	case oauth && s.TokenFile != "" && (s.Username != "" || s.PasswordFile != "" || s.Scope != ""):
		return invalid("kafka-sasl-token-file", "needs neither user nor password nor scope: the token says who we are")
	case s.TokenFile != "":
		return secretIn("kafka-sasl-token-file", s.TokenFile)
	case oauth && !isHTTP(s.TokenURL):
		return invalid("kafka-sasl-token-url", "is not a URL such as https://host/token")
	case oauth && s.Username == "":
		return invalid("kafka-sasl-username", "is required with OAUTHBEARER and --kafka-sasl-token-url, as the client's id")
	case oauth && s.PasswordFile == "":
		return invalid("kafka-sasl-password-file", "is required with OAUTHBEARER and --kafka-sasl-token-url, with the client's secret")
	case s.Username == "":
		return invalid("kafka-sasl-username", "is required with --kafka-sasl-mechanism")
	case s.PasswordFile == "":
		return invalid("kafka-sasl-password-file", "is required with --kafka-sasl-mechanism")
	}
	return secretIn("kafka-sasl-password-file", s.PasswordFile)
}

// isHTTP reports whether a token can be asked for at a URL. What is none is not
// shown: it may hold a secret.
func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}

// secretIn checks that a file can be read and holds something. Later it may be
// a rotation under way when it does not.
func secretIn(option, path string) error {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return &outbox.Invalid{Option: option, Text: err.Error()}
	case len(bytes.TrimRight(text, "\r\n")) == 0:
		return &outbox.Invalid{Option: option, Text: path + " is empty"}
	}
	return nil
}
