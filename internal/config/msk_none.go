//go:build !msk

package config

// mechanisms are the ways to log in to the brokers; a binary built with -tags
// msk knows AWS_MSK_IAM too.
var mechanisms = []string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}
