//go:build !msk

package publish

import (
	"context"
	"errors"
)

// mechanismMSK is known to binaries built with -tags msk only: what it needs of
// AWS would make every other one larger.
const mechanismMSK = ""

func mskToken(context.Context) (string, error) { return "", errors.ErrUnsupported }
