package mysql

import "testing"

// For the tests that join the source with the pipeline, which only the
// external test package may import.

type World = world

func OnServers(t *testing.T, test func(*World)) { onServers(t, test) }
func (w *world) Exec(sql ...string)             { w.Helper(); w.exec(sql...) }
func (w *world) Source(tables ...Table) *Source { return New(w.config(tables...), quiet()) }
func (w *world) Session() func(sql ...string) {
	c := w.session()
	return func(sql ...string) { w.on(c, sql...) }
}
