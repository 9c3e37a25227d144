//go:build msk

package publish

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-msk-iam-sasl-signer-go/signer"
)

// mechanismMSK is Amazon MSK's own login: a token signed with the identity that
// AWS gives to the process, sent as OAUTHBEARER.
const mechanismMSK = "AWS_MSK_IAM"

func mskToken(ctx context.Context) (string, error) {
	region := os.Getenv("AWS_REGION")
	if region == "" {
		return "", errors.New("sign a token for MSK: AWS_REGION is not set")
	}
	token, _, err := signer.GenerateAuthToken(ctx, region)
	if err != nil {
		return "", fmt.Errorf("sign a token for MSK: %w", err)
	}
	return token, nil
}
