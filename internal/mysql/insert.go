package mysql

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tailer-io/tailer/internal/outbox"
)

// tableMap takes the description of a table, which precedes its rows in every
// statement.
func (f *feed) tableMap(body []byte) error {
	id, schema, name, err := scanTableName(body)
	if err != nil {
		return f.malformed("table map", err)
	}
	for i := range f.maps {
		if !isChosen(f.chosen, i) {
			continue // a foreign table, for now
		}
		m := &f.maps[i]
		if string(schema) != f.facts[i].schema || string(name) != f.facts[i].name {
			if m.id == id {
				m.id = 0 // the number is another table's now
			}
			continue
		}
		m.id = id
		if m.stale || !bytes.Equal(m.body, body[6:]) {
			if err := f.describe(i, body); err != nil {
				return err
			}
			f.maps[i].id = id
		}
	}
	return nil
}

// describe takes a description that differs from the last one, or comes behind
// DDL. What was asked of information_schema is asked again when it may be of
// before: the table was changed meanwhile.
func (f *feed) describe(i int, body []byte) error {
	m := &f.maps[i]
	if m.body != nil || m.stale {
		if err := f.look(i); err != nil {
			return err
		}
	}
	d, err := describe(f.tables[i], i, &f.facts[i], body, f.collations, f.mariadb, f.whole)
	if err != nil {
		return f.malformed("table map", err)
	}
	if m.shape != nil && sameShape(m.shape, d.shape) {
		d.shape = m.shape // its users compare pointers
	} else if err := f.fits(d.shape); err != nil {
		return misfit(err)
	}
	d.body = bytes.Clone(body[6:])
	*m = *d
	return nil
}

func sameShape(a, b *outbox.Shape) bool {
	return a.Table == b.Table && slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Rest, b.Rest)
}

// writeRows takes inserted rows; those of other tables cost a comparison.
func (f *feed) writeRows(body []byte, version int, compressed bool) error {
	id, err := scanTableID(body)
	if err != nil {
		return f.malformed("rows", err)
	}
	var m *tableMap
	for i := range f.maps {
		if f.maps[i].id == id && f.maps[i].shape != nil {
			m = &f.maps[i]
		}
	}
	if m == nil {
		return nil
	}
	e, err := scanRows(body, version)
	if err != nil {
		return f.malformed("rows", err)
	}
	if e.columns != len(m.columns) {
		return f.malformed("rows", fmt.Errorf("%d columns, the table map has %d", e.columns, len(m.columns)))
	}
	if compressed {
		if e.rows, err = inflate(e.rows, maxEvent); err != nil {
			return f.malformed("compressed rows", err)
		}
	}
	if err := f.complete(m, e.present); err != nil {
		return err
	}
	m.taken = true
	for rows := e.rows; len(rows) > 0; {
		n, err := f.insert(m, e.present, rows)
		if err != nil {
			return err
		}
		if n <= 0 {
			return f.malformed("rows", fmt.Errorf("a row has no length"))
		}
		rows = rows[n:]
	}
	return nil
}

// complete refuses rows that come without a wanted column.
func (f *feed) complete(m *tableMap, present []byte) error {
	for i := range m.columns {
		if w := m.columns[i].want; w >= 0 && !m.columns[i].rest && !isBitSet(present, i) {
			return outbox.Refuse(ReasonImage, imageHint+"; `tailer checkpoint set --now` steps over what was written before",
				"rows of table %s come without column %q: they were written with binlog_row_image other than FULL", f.tables[m.shape.Table], m.shape.Columns[w].Name)
		}
	}
	return nil
}

// insert adds one row, or passes it over when an earlier run has done it. It
// returns the row's length.
func (f *feed) insert(m *tableMap, present, row []byte) (int, error) {
	if !f.in {
		return 0, f.malformed("rows", fmt.Errorf("they stand outside a transaction"))
	}
	if f.group.prepared {
		return 0, f.preparedXA()
	}
	if f.open != nil && f.rows == 0 && f.group.name.text(f.mode) != f.open.Txn {
		return 0, f.openGone()
	}
	if f.skip > 0 {
		n, err := m.rowSize(present, row)
		if err != nil {
			return 0, f.malformed("row", err)
		}
		f.skip--
		f.rows++
		return n, nil
	}
	if f.batch != nil && f.begun && f.batch.Full(f.limits) {
		if err := f.cut(); err != nil {
			return 0, err
		}
	}
	if f.batch == nil {
		if err := f.acquire(); err != nil {
			return 0, err
		}
	}
	if !f.begun {
		f.first = len(f.batch.Rows)
		f.batch.Begin(f.group.name.append(f.mode, f.text[:0]), microTime(f.group.at), f.rows)
		f.begun = true
	}
	n, err := m.addRow(f.batch, present, row, &f.scratch)
	if err != nil {
		return 0, f.malformed("row", err)
	}
	f.rows++
	return n, nil
}

// rowSize is the length of a row.
func (m *tableMap) rowSize(present, row []byte) (int, error) {
	given := 0
	for i := range m.columns {
		if isBitSet(present, i) {
			given++
		}
	}
	at, n := (given+7)/8, -1
	if len(row) < at {
		return 0, errShort
	}
	bitmap := row[:at]
	for i := range m.columns {
		if !isBitSet(present, i) {
			continue
		}
		if n++; isBitSet(bitmap, n) {
			continue
		}
		size, err := m.columns[i].valueSize(row[at:])
		if err != nil {
			return 0, err
		}
		if size > len(row)-at {
			return 0, errShort
		}
		at += size
	}
	return at, nil
}
