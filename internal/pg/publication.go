package pg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// publication is what the catalog says about ours. Tables maps schema.name to
// how it is published.
type publication struct {
	exists  bool
	insert  bool
	viaRoot bool
	all     bool // FOR ALL TABLES
	tables  map[[2]string]published
}

type published struct {
	columns []string // nil: all (PostgreSQL 14 knows no lists)
	filter  string
}

// loadPublication asks the catalog. pg_publication_tables shows a partitioned
// table itself when it is published via its root, else its leaves: just what
// the log will name.
func (s *Source) loadPublication(ctx context.Context, x *session) (publication, error) {
	var p publication
	rows, err := x.query(ctx, `select pubinsert, pubviaroot, puballtables from pg_publication where pubname = $1`, s.cfg.Publication)
	if err != nil {
		return p, fmt.Errorf("look up publication: %w", err)
	}
	if len(rows) == 0 {
		return p, nil
	}
	p.exists, p.insert, p.viaRoot, p.all = true, rows[0][0] == "t", rows[0][1] == "t", rows[0][2] == "t"
	sql := `select schemaname, tablename, '', '' from pg_publication_tables where pubname = $1`
	if s.id.version >= 15 {
		sql = `select schemaname, tablename, array_to_string(attnames, E'\n'), rowfilter from pg_publication_tables where pubname = $1`
	}
	if rows, err = x.query(ctx, sql, s.cfg.Publication); err != nil {
		return p, fmt.Errorf("look up the publication's tables: %w", err)
	}
	p.tables = make(map[[2]string]published, len(rows))
	for _, r := range rows {
		p.tables[[2]string{r[0], r[1]}] = published{columns: lines(r[2]), filter: r[3]}
	}
	return p, nil
}

// flaw is one thing that keeps a publication from bringing every row, and the
// statement that mends it.
type flaw struct{ text, fix string }

// flaws compares a publication that exists with the tables; facts are theirs.
func (s *Source) flaws(p publication, facts []tableFacts) []flaw {
	var out []flaw
	add := func(fix, format string, args ...any) {
		out = append(out, flaw{fmt.Sprintf(format, args...), fix})
	}
	alter := "ALTER PUBLICATION " + quoteIdent(s.cfg.Publication)
	if !p.insert {
		add(alter+" SET (publish = 'insert')", "publication %s does not publish inserts", s.cfg.Publication)
	}
	for i, t := range s.cfg.Tables {
		if !isChosen(s.chosen, i) {
			continue
		}
		partitioned := i < len(facts) && facts[i].kind == "p"
		if partitioned && !p.viaRoot {
			add(alter+" SET (publish_via_partition_root = true)",
				"publication %s names the partitions of %s, not the table", s.cfg.Publication, t)
			continue
		}
		pt, ok := p.tables[[2]string{t.Schema, t.Name}]
		switch {
		case !ok:
			add(alter+" ADD TABLE "+t.quoted(), "publication %s does not hold table %s", s.cfg.Publication, t)
		case pt.filter != "":
			add(s.resetTable(t), "publication %s has a row filter on table %s: WHERE %s", s.cfg.Publication, t, pt.filter)
		case pt.columns != nil:
			for k, c := range t.Columns {
				if t.optional(k) && i < len(facts) && !slices.Contains(facts[i].columns, c) {
					continue
				}
				if !slices.Contains(pt.columns, c) {
					add(s.resetTable(t), "publication %s does not list column %q of table %s", s.cfg.Publication, c, t)
				}
			}
		}
	}
	return out
}

// resetTable publishes a table whole. There is no ALTER for a filter alone;
// inside one transaction no row slips through.
func (s *Source) resetTable(t Table) string {
	alter := "ALTER PUBLICATION " + quoteIdent(s.cfg.Publication)
	return fmt.Sprintf("BEGIN; %s DROP TABLE %s; %s ADD TABLE %s; COMMIT", alter, t.quoted(), alter, t.quoted())
}

// createPublicationSQL is the statement for a publication of just what is
// needed, see https://www.postgresql.org/docs/current/sql-createpublication.html.
func (s *Source) createPublicationSQL() string {
	names := make([]string, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		names[i] = t.quoted()
	}
	return fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish = 'insert', publish_via_partition_root = true)",
		quoteIdent(s.cfg.Publication), strings.Join(names, ", "))
}

// provePublication refuses a publication that is missing or does not bring
// every row. since tells from where on rows may be missing, "" when there is
// nothing to tell.
func (s *Source) provePublication(ctx context.Context, x *session, facts []tableFacts, since string) error {
	p, err := s.loadPublication(ctx, x)
	if err != nil {
		return err
	}
	if since != "" {
		since = "; rows committed behind " + since + " may be missing"
	}
	if !p.exists {
		return outbox.Refuse(ReasonPublication,
			s.createPublicationSQL()+"; what was written without it cannot be decoded any more, and `tailer checkpoint reset` begins anew",
			"publication %s does not exist%s", s.cfg.Publication, since)
	}
	if fl := s.flaws(p, facts); len(fl) > 0 {
		return outbox.Refuse(ReasonPublication, joinFixes(fl), "%s%s", joinTexts(fl), since)
	}
	return nil
}

func joinTexts(fl []flaw) string {
	var parts []string
	for _, f := range fl {
		parts = append(parts, f.text)
	}
	return strings.Join(parts, "; ")
}

func joinFixes(fl []flaw) string {
	var parts []string
	for _, f := range fl {
		if !slices.Contains(parts, f.fix) {
			parts = append(parts, f.fix)
		}
	}
	return strings.Join(parts, "; ")
}
