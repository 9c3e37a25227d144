// Package checkpoint is the record that says how far tailer is, and the file
// that can hold it. The record in the name's Kafka topic is written and read
// by the pipeline through the publisher, inside the very transaction whose
// messages it accounts for; see package pipeline.
package checkpoint
