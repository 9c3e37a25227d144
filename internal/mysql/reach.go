package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// reach is what a statement has to name if it writes to an outbox table: the
// table, or something that leads there. Rows that a statement wrote are not in
// the log, only its text is.
//
// Triggers, views and routines are looked up at the start, and those that come
// later are learned from the log. Nothing is ever forgotten. It belongs to one
// goroutine at a time: that of Connect, then that which reads the log.
type reach struct {
	objects []object
	// blind: the account cannot see every trigger, view and routine.
	blind bool
}

type object struct {
	schema, name     string
	inSchema, inName pattern
	role             role
}

type role int

const (
	target role = iota // an outbox table: INSERT is what writes to it
	fires              // a table whose triggers lead to one
	runs               // a view or routine that leads to one, or a name that may be anything
)

func newReach(tables []Table) *reach {
	r := &reach{}
	for _, t := range tables {
		r.add(t.Schema, t.Name, target)
	}
	return r
}

// add tells whether the object is new.
func (r *reach) add(schema, name string, as role) bool {
	for _, o := range r.objects {
		if strings.EqualFold(o.schema, schema) && strings.EqualFold(o.name, name) && o.role == as {
			return false
		}
	}
	r.objects = append(r.objects, object{schema, name, patternOf(schema), patternOf(name), as})
	return true
}

// named is the first object of at least such a role that a text may name; what
// is not qualified stands in schema.
func (r *reach) named(schema string, text []byte, least role) *object {
	for i := range r.objects {
		o := &r.objects[i]
		if o.role >= least && o.inName.in(text) && (strings.EqualFold(o.schema, schema) || o.inSchema.in(text)) {
			return o
		}
	}
	return nil
}

// writes says why a statement may have written to an outbox table, or "" if it
// has not.
func (r *reach) writes(schema string, text []byte) string {
	least := target
	switch effectOf(text) {
	case idle:
		return ""
	case selecting:
		least = runs
	case changing:
		least = fires
	}
	if o := r.named(schema, text, least); o != nil {
		if o.role == target {
			return fmt.Sprintf("writes to table %s.%s", o.schema, o.name)
		}
		return fmt.Sprintf("uses %s.%s, which leads to an outbox table", o.schema, o.name)
	}
	if !r.blind {
		return ""
	}
	for i := range r.objects {
		if o := &r.objects[i]; o.role == target && (strings.EqualFold(o.schema, schema) || o.inSchema.in(text)) {
			return fmt.Sprintf("is about database %s, whose triggers, views and routines this account cannot see", o.schema)
		}
	}
	return ""
}

// learn takes DDL from the log. It tells whether there is something new that
// others may lead to in turn.
func (r *reach) learn(schema string, text []byte) bool {
	kind := objectOf(text)
	x := lexer{text}
	verb := x.keyword()
	switch {
	case verb == "CREATE" && kind == "TRIGGER", (verb == "CREATE" || verb == "ALTER") && (kind == "VIEW" || kind == "FUNCTION" || kind == "PROCEDURE" || kind == "PACKAGE"):
		if r.named(schema, text, target) == nil {
			return false
		}
		as := runs
		x.find(kind)
		if kind == "TRIGGER" {
			x.find("ON")
			as = fires
		}
		in, name := x.name(schema)
		return r.add(in, name, as)
	case (verb == "RENAME" || verb == "ALTER") && strings.HasPrefix(kind, "TABLE"):
		if r.named(schema, text, fires) == nil {
			return false
		}
		learned := false
		for x.find("TO", "RENAME") != "" {
			rest := x
			switch rest.keyword() {
			case "TO":
				continue // the next to be found
			case "AS":
				x = rest
			case "COLUMN", "INDEX", "KEY":
				x.find("TO")
				continue
			}
			in, name := x.name(schema)
			learned = r.add(in, name, runs) || learned
		}
		return learned
	}
	return false
}

// ours are the server's own databases, in which nothing leads anywhere.
const ours = "('mysql', 'sys', 'information_schema', 'performance_schema')"

// load looks up what leads to the outbox tables, and what leads there.
func (r *reach) load(ctx context.Context, x *session) error {
	grants, err := x.query(ctx, "show grants")
	if err != nil {
		return fmt.Errorf("look up the account's rights: %w", err)
	}
	r.blind = !seesAll(grants)
	for from := 0; from < len(r.objects); {
		latest := r.objects[from:]
		from = len(r.objects)
		mentions := func(column string) string {
			var list []string
			for _, o := range latest {
				list = append(list, "instr(lower("+column+"), "+quoteLiteral(strings.ToLower(o.inName.piece))+") > 0")
			}
			return "(" + strings.Join(list, " or ") + ")"
		}
		for _, q := range []struct {
			as  role
			sql string
		}{
			{fires, `select event_object_schema, event_object_table, action_statement from information_schema.triggers
where event_object_schema not in ` + ours + ` and ` + mentions("action_statement")},
			{runs, `select table_schema, table_name, coalesce(view_definition, '') from information_schema.views
where table_schema not in ` + ours + ` and (coalesce(view_definition, '') = '' or ` + mentions("view_definition") + `)`},
			{runs, `select routine_schema, routine_name, if(routine_body = 'SQL', coalesce(routine_definition, ''), '') from information_schema.routines
where routine_schema not in ` + ours + ` and (coalesce(routine_definition, '') = '' or routine_body <> 'SQL' or ` + mentions("routine_definition") + `)`},
		} {
			rows, err := x.query(ctx, q.sql)
			if err != nil {
				return fmt.Errorf("look up what writes to the outbox: %w", err)
			}
			for _, d := range rows {
				// What cannot be read may do anything.
				if d[2] == "" || r.named(d[0], []byte(d[2]), target) != nil {
					r.add(d[0], d[1], q.as)
				}
			}
		}
	}
	return nil
}

// seesAll tells from SHOW GRANTS whether an account sees every trigger, view
// and routine. Rights by a role of MySQL's do not show, and count as none.
func seesAll(grants [][]string) bool {
	var has []string
	for _, g := range grants {
		rights, on, ok := strings.Cut(strings.ToUpper(g[0]), " ON ")
		if strings.HasPrefix(rights, "REVOKE") {
			return false
		}
		on = strings.ReplaceAll(on, "`", "")
		for _, right := range strings.Split(strings.TrimPrefix(rights, "GRANT "), ", ") {
			switch {
			case !ok:
			case strings.HasPrefix(on, "*.* "):
				has = append(has, right)
			case strings.HasPrefix(on, "MYSQL.PROC ") || strings.HasPrefix(on, "MYSQL.* "):
				has = append(has, right+" OF ROUTINES")
			}
		}
	}
	one := func(rights ...string) bool {
		return slices.ContainsFunc(rights, func(r string) bool { return slices.Contains(has, r) })
	}
	const all = "ALL PRIVILEGES"
	return one(all, "TRIGGER") && one(all, "SHOW VIEW") && one(all, "SELECT", "SHOW_ROUTINE", "SHOW CREATE ROUTINE", "SELECT OF ROUTINES")
}

// sight are the rights with which an account sees all that leads to a table.
func (s *Source) sight() string {
	routines := "GRANT SHOW_ROUTINE ON *.*"
	if s.id.mode == byDomain {
		routines = "GRANT SELECT ON mysql.proc"
	}
	return "GRANT TRIGGER, SHOW VIEW ON *.* TO 'USER'@'HOST'; " + routines + " TO 'USER'@'HOST'"
}
