//go:build msk

package publish

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// The token is a signed URL that Amazon's brokers call; see
// https://github.com/aws/aws-msk-iam-sasl-signer-go. There is no broker here
// that takes it.
func TestMSKToken(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	t.Setenv("AWS_REGION", "")
	s := Security{Mechanism: mechanismMSK}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	const alone = "--kafka-sasl-mechanism: AWS_MSK_IAM takes who we are from AWS alone: no user, password or token"
	if err := (Security{Mechanism: mechanismMSK, Username: "u"}).Validate(); err == nil || err.Error() != alone {
		t.Errorf("got %v, want %s", err, alone)
	}
	if _, err := s.bearer().Token(); err == nil || err.Error() != "sign a token for MSK: AWS_REGION is not set" {
		t.Errorf("got %v", err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	token, err := s.bearer().Token()
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(token.Token)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(text))
	if err != nil || u.Host != "kafka.eu-west-1.amazonaws.com" || u.Query().Get("Action") != "kafka-cluster:Connect" ||
		!strings.HasPrefix(u.Query().Get("X-Amz-Credential"), "AKIDEXAMPLE/") || strings.Contains(string(text), "hidden") {
		t.Errorf("%s, %v", text, err)
	}
}
