package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Choose says which of the configured tables, by their index, Prove, Count,
// Publish, View and Stream are about from now on; nil for all. To Stream the
// others are foreign tables. It is not called while Stream runs.
func (s *Source) Choose(tables []bool) { s.chosen = slices.Clone(tables) }

func isChosen(chosen []bool, table int) bool { return chosen == nil || chosen[table] }

// Publish puts those of the chosen tables into the publication that it does not
// hold. Nothing else about it is altered: another flaw is a Refusal with the
// statement that mends it. Rows of transactions that were running then need not
// come; View begins behind them.
func (s *Source) Publish(ctx context.Context) error {
	x, err := s.control()
	if err != nil {
		return err
	}
	p, err := s.loadPublication(ctx, x)
	if err != nil {
		return err
	}
	if sql := s.addTablesSQL(p, s.tables, true); p.exists && sql != "" {
		switch _, err := x.query(ctx, sql); sqlState(err) {
		case "":
			if err != nil {
				return fmt.Errorf("add to publication: %w", err)
			}
			s.log.Info("added to publication", "publication", s.cfg.Publication, "statement", sql)
		case "42501":
			return outbox.Refuse(ReasonPrivilege, "as the owner of the publication and of the tables: "+sql+"; and start again",
				"the role may not add tables to publication %s: %s", s.cfg.Publication, message(err))
		case "42710": // somebody was quicker
		default:
			return fmt.Errorf("add to publication: %w", err)
		}
	}
	return s.provePublication(ctx, x, s.tables, "")
}

// addTablesSQL is the statement that adds the tables that are chosen, or that are
// not, and that a publication lacks; "" when there are none. facts are those of
// all tables.
func (s *Source) addTablesSQL(p publication, facts []tableFacts, chosen bool) string {
	var names []string
	for i, t := range s.cfg.Tables {
		partitioned := i < len(facts) && facts[i].kind == "p"
		if _, ok := p.tables[[2]string{t.Schema, t.Name}]; ok || p.all || isChosen(s.chosen, i) != chosen || partitioned && !p.viaRoot {
			continue // under a root that is not published its partitions may be there
		}
		names = append(names, t.quoted())
	}
	if names == nil {
		return ""
	}
	return "ALTER PUBLICATION " + quoteIdent(s.cfg.Publication) + " ADD TABLE " + strings.Join(names, ", ")
}

// checkMayAdd adds the tables that the next start is to add to the publication,
// and takes that back: only the server knows whether it may be.
func (s *Source) checkMayAdd(ctx context.Context, x *session, r *outbox.Findings, p publication, facts []tableFacts) {
	sql := s.addTablesSQL(p, facts, false)
	if sql == "" {
		return
	}
	what := "publication " + s.cfg.Publication + ", added tables"
	_, err := x.query(ctx, "begin")
	if err == nil {
		_, err = x.query(ctx, sql)
		if _, rerr := x.query(ctx, "rollback"); err == nil {
			err = rerr
		}
	}
	if err != nil {
		r.Fail(what, "as the owner of the publication and of the tables: "+sql, "run cannot add them: %s", message(err))
		return
	}
	r.OK(what, "run may add them")
}

// View opens a snapshot of the chosen tables as of the place where a temporary
// slot finds the log consistent. Before that place every transaction has ended
// that ran when View was called, also those that wrote to a table before it was
// published and of whose rows the log says nothing: the snapshot holds them. It
// needs a free replication slot for as long as it takes.
//
// Its wait for running transactions ends with ctx, on the server too: the library
// asks for that when it gives a statement up.
func (s *Source) View(ctx context.Context) (outbox.Snapshot, error) {
	v, err := s.openView(ctx, temporaryName(s.cfg.Slot), true)
	if err != nil {
		return nil, err
	}
	v.chosen, v.facts = s.chosen, slices.Clone(s.tables)
	// It may be long since Connect looked.
	for i, t := range s.cfg.Tables {
		if !isChosen(s.chosen, i) {
			continue
		}
		f, err := loadTable(ctx, s.ctl, t)
		if err == nil {
			err = f.judge(t, s.id.version, true)
		}
		if err == nil {
			if err = s.fits(i, &f); err != nil {
				err = misfit(err)
			}
		}
		if err != nil {
			v.Close()
			return nil, err
		}
		v.facts[i] = f
	}
	return v, nil
}

// Withdraw takes a table, named as the configuration named it, out of the
// publication, and returns what it did as a line for people. A table that the
// publication does not list is no error, nor is one that does not exist. It
// wants Reach or Connect before.
func (s *Source) Withdraw(ctx context.Context, table string) (string, error) {
	x, err := s.control()
	if err != nil {
		return "", err
	}
	rows, err := x.query(ctx, `select n.nspname, c.relname from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
  join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
where p.pubname = $1 and n.nspname || '.' || c.relname = $2`, s.cfg.Publication, table)
	if err != nil {
		return "", fmt.Errorf("look up the publication's tables: %w", err)
	}
	if len(rows) == 0 {
		return "publication " + s.cfg.Publication + " does not list table " + table, nil
	}
	sql := "ALTER PUBLICATION " + quoteIdent(s.cfg.Publication) + " DROP TABLE " + Table{Schema: rows[0][0], Name: rows[0][1]}.quoted()
	if _, err := x.query(ctx, sql); err != nil {
		return "", errors.New(message(err) + "; as the owner of the publication: " + sql)
	}
	return "removed table " + table + " from publication " + s.cfg.Publication, nil
}
