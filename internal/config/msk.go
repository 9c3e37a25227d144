//go:build msk

package config

// mechanisms are the ways to log in to the brokers.
var mechanisms = []string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"}
