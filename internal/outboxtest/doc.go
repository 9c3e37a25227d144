// Package outboxtest has a source, a broker and a checkpoint topic in memory,
// with faults, and the one checker that says whether anything was lost, doubled
// or put out of order. They are for tests of the pipeline; what real servers do
// is tested with real servers.
//
// Refusals holds that every text about a wrong configuration stands in a test.
package outboxtest
