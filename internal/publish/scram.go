package publish

import (
	"crypto/sha256"
	"crypto/sha512"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

// scramClient is one SCRAM conversation (RFC 5802), as sarama wants it.
type scramClient struct {
	hash scram.HashGeneratorFcn
	talk *scram.ClientConversation
}

// scramGenerator gives sarama what it needs for a mechanism; nil when that is
// not SCRAM.
func scramGenerator(mechanism string) func() sarama.SCRAMClient {
	var hash scram.HashGeneratorFcn
	switch mechanism {
	case sarama.SASLTypeSCRAMSHA256:
		hash = sha256.New
	case sarama.SASLTypeSCRAMSHA512:
		hash = sha512.New
	default:
		return nil
	}
	return func() sarama.SCRAMClient { return &scramClient{hash: hash} }
}

func (c *scramClient) Begin(user, password, authorization string) error {
	client, err := c.hash.NewClient(user, password, authorization)
	if err != nil {
		return err
	}
	c.talk = client.NewConversation()
	return nil
}

func (c *scramClient) Step(challenge string) (string, error) { return c.talk.Step(challenge) }

func (c *scramClient) Done() bool { return c.talk.Done() }
