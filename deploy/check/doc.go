// Package check tests what deploys and watches tailer with the libraries of
// those who read it: Prometheus, Kubernetes, Compose. It is a module of its own
// so that tailer depends on none of them:
//
//	cd deploy/check && go test ./...
//
// The test of an idle tailer needs the environment of scripts/stack and the
// binary in E2E_TAILER; without them it is skipped.
package check
