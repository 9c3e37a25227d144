// Package convert turns the configuration of another relay into tailer's. It
// carries every option over that has an equivalent, and names each that has
// none: what changes bytes, routing or order is lost, the rest is a note.
package convert
