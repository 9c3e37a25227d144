package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// identity is who answers.
type identity struct {
	kind    outbox.Kind
	mode    mode
	server  string // server_uuid, server_uid, or server_id
	version string // for people
	number  int    // 80400 for 8.4.0
	vars    map[string]string
}

// Connect opens the ordinary session, asks who the server is, and checks what
// tailer needs of it: version, log settings, tables. It closes what an earlier
// Connect opened and changes nothing in the database. What does not fit the
// configuration is *outbox.Invalid at the first connection; later it is taken
// for a change and refused.
func (s *Source) Connect(ctx context.Context) (outbox.Identity, error) {
	id, err := s.reach(ctx)
	if err != nil {
		return outbox.Identity{}, err
	}
	if s.tables, err = s.loadTables(ctx, s.ctl, s.worked); err != nil {
		return outbox.Identity{}, err
	}
	if s.cfg.Cleanup && !s.worked { // later the clean-up says so itself, and tailer goes on
		for i, t := range s.cfg.Tables {
			if err := s.cleanable(t, &s.tables[i]); err != nil {
				return outbox.Identity{}, err
			}
		}
	}
	end, err := s.end(ctx, s.ctl)
	if err != nil {
		return outbox.Identity{}, err
	}
	for i := range s.tables {
		s.tables[i].asOf = end
	}
	if err := s.ways.load(ctx, s.ctl); err != nil {
		return outbox.Identity{}, err
	}
	s.worked = true
	return s.public(id), nil
}

// Reach does what Connect does, but does not look at the tables: an operator
// may want to tear down what cannot run any more.
func (s *Source) Reach(ctx context.Context) (outbox.Identity, error) {
	id, err := s.reach(ctx)
	if err != nil {
		return outbox.Identity{}, err
	}
	s.worked = true
	return s.public(id), nil
}

func (s *Source) reach(ctx context.Context) (identity, error) {
	s.Close()
	if err := Validate(s.cfg); err != nil {
		return identity{}, err
	}
	x, err := s.choose(ctx, "connect to the source")
	if err != nil {
		return identity{}, err
	}
	s.ctl = x
	id, err := s.identify(ctx, x)
	if err != nil {
		return identity{}, err
	}
	s.id = id
	if err := s.requireServer(ctx, x, id); err != nil {
		return identity{}, err
	}
	s.collations, err = loadCollations(ctx, x)
	return id, err
}

// public is what others may know: see the package comment for why the
// database's name is all that identifies it.
func (s *Source) public(id identity) outbox.Identity {
	return outbox.Identity{Kind: id.kind, ID: s.addr.database, Lineage: id.server, Version: id.version}
}

func (s *Source) loadTables(ctx context.Context, x *session, worked bool) ([]tableFacts, error) {
	tables := make([]tableFacts, len(s.cfg.Tables))
	for i, t := range s.cfg.Tables {
		f, err := s.loadTable(ctx, x, i, worked)
		if err != nil {
			return nil, err
		}
		err = s.fits(f.shape(i, t))
		if err == nil && t.SnapshotOrder != "" && !worked { // later there may be no snapshot any more
			err = f.has("snapshot-order-by", t, t.SnapshotOrder)
		}
		if err != nil {
			if worked {
				err = misfit(err)
			}
			return nil, err
		}
		tables[i] = f
	}
	return tables, nil
}

// loadTable looks a table up and judges it.
func (s *Source) loadTable(ctx context.Context, x *session, index int, worked bool) (tableFacts, error) {
	f, err := loadTable(ctx, x, s.cfg.Tables[index])
	if err == nil {
		err = f.judge(s.cfg.Tables[index], worked)
	}
	return f, err
}

// reloadTable looks a table up while the log is read.
func (s *Source) reloadTable(ctx context.Context, x *session, index int) (tableFacts, error) {
	f, err := s.loadTable(ctx, x, index, true)
	if err == nil {
		f.asOf, err = s.end(ctx, x)
	}
	return f, err
}

// fits asks the mapping whether it can do with a table.
func (s *Source) fits(shape *outbox.Shape) error {
	if s.cfg.Check == nil {
		return nil
	}
	return s.cfg.Check(shape)
}

// misfit makes a Refusal of what the mapping says about a table that changed.
func misfit(err error) error {
	return outbox.Refuse(ReasonColumn, "change the mapping, or the table back; rows written since cannot be mapped",
		"a table has changed: %s", err)
}

// loadCollations tells the character set by a collation's number, which is
// what the log has.
func loadCollations(ctx context.Context, x *session) (map[int]string, error) {
	rows, err := x.query(ctx, `select id, character_set_name from information_schema.collations
where id is not null and character_set_name is not null`)
	if err == nil {
		// MariaDB keeps those that serve several character sets in another
		// table; MySQL's table of that name has no numbers.
		more, merr := x.query(ctx, `select id, character_set_name from information_schema.collation_character_set_applicability
where id is not null`)
		if merr != nil && errorCode(merr) == 0 {
			err = merr
		}
		rows = append(rows, more...)
	}
	if err != nil {
		return nil, fmt.Errorf("look up collations: %w", err)
	}
	out := make(map[int]string, len(rows))
	for _, r := range rows {
		if id, err := strconv.Atoi(r[0]); err == nil {
			out[id] = r[1]
		}
	}
	return out, nil
}

// variables are the server's settings that matter here. Servers know different
// ones, and SHOW passes over those that they do not have.
var variables = []string{
	"version", "server_id", "server_uuid", "server_uid", "read_only", "innodb_read_only",
	"log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog_row_value_options",
	"gtid_mode", "gtid_strict_mode", "sync_binlog", "innodb_flush_log_at_trx_commit",
	"binlog_expire_logs_seconds", "expire_logs_days", "binlog_expire_logs_auto_purge",
	"log_slave_updates", "log_replica_updates", "slave_preserve_commit_order", "replica_preserve_commit_order",
	"slave_parallel_workers", "replica_parallel_workers", "slave_parallel_mode",
	"net_write_timeout", "basedir", "aurora_version",
}

var identifySQL = "show global variables where variable_name in ('" + strings.Join(variables, "', '") + "')"

// identify asks the server who it is.
func (s *Source) identify(ctx context.Context, x *session) (identity, error) {
	rows, err := x.query(ctx, identifySQL)
	if err != nil {
		return identity{}, fmt.Errorf("ask for the server's settings: %w", err)
	}
	return identityOf(rows)
}

// identityOf reads the answer to identifySQL.
func identityOf(rows [][]string) (identity, error) {
	id := identity{kind: outbox.MySQL, vars: make(map[string]string)}
	for _, r := range rows {
		id.vars[strings.ToLower(r[0])] = r[1]
	}
	id.version = id.vars["version"]
	id.number = versionNumber(id.version)
	id.server = id.vars["server_uuid"]
	switch {
	case strings.Contains(id.version, "MariaDB"):
		id.kind, id.mode = outbox.MariaDB, byDomain
		id.server = id.vars["server_uid"]
		if id.server == "" {
			// Before 10.6.19, 10.11.9 and 11.4.3 the id is all there is.
			id.server = "server-id-" + id.vars["server_id"]
		}
	case strings.EqualFold(id.vars["gtid_mode"], "ON"):
		id.mode = byGTID
	default:
		id.mode = byFile
	}
	if id.server == "" {
		return identity{}, fmt.Errorf("ask for the server's settings: it does not say its server_uuid")
	}
	return id, nil
}

// versionNumber makes 80036 of "8.0.36-28": the first three numbers.
func versionNumber(text string) int {
	n := 0
	parts := strings.SplitN(text, ".", 3)
	for i := range 3 {
		v := 0
		if i < len(parts) {
			digits := parts[i]
			if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
				digits = digits[:end]
			}
			v, _ = strconv.Atoi(digits)
		}
		n = n*100 + min(v, 99)
	}
	return n
}

const (
	formatHint = "SET GLOBAL binlog_format = 'ROW' and in the configuration file, then reconnect the applications " +
		"(RDS and Aurora: binlog_format = ROW in the parameter group)"
	imageHint = "SET GLOBAL binlog_row_image = 'FULL' and in the configuration file, then reconnect the applications"
	logHint   = "log_bin in the configuration file, then restart the server (RDS: switch automated backups on)"
)

// requireServer checks what does not depend on the tables.
func (s *Source) requireServer(ctx context.Context, x *session, id identity) error {
	if err := s.ofKind(id); err != nil && !s.worked {
		return err
	}
	for _, f := range id.flaws() {
		return f
	}
	_, filters, err := s.logStatus(ctx, x, id)
	if err != nil {
		return s.privilegeError("ask for the log's end", err)
	}
	return filters.judge(s.cfg.Tables)
}

// flaws are the settings with which the log cannot be used.
func (id *identity) flaws() []*outbox.Refusal {
	var out []*outbox.Refusal
	refuse := func(reason, hint, format string, args ...any) {
		out = append(out, outbox.Refuse(reason, hint, format, args...))
	}
	if id.kind == outbox.MySQL && id.number < 80000 || id.kind == outbox.MariaDB && id.number < 100600 {
		refuse(ReasonVersion, "use MySQL 8.0 or later, or MariaDB 10.6 or later", "the server is %s %s", id.kind, id.version)
		return out
	}
	if !strings.EqualFold(id.vars["log_bin"], "ON") {
		refuse(ReasonBinlog, logHint, "the binary log is off")
		return out
	}
	if v := id.vars["binlog_format"]; !strings.EqualFold(v, "ROW") {
		refuse(ReasonFormat, formatHint, "binlog_format is %s, and must be ROW: rows that come as statements cannot be read", v)
	}
	if v := id.vars["binlog_row_image"]; !strings.HasPrefix(strings.ToUpper(v), "FULL") {
		refuse(ReasonImage, imageHint, "binlog_row_image is %s, and must be FULL: columns that an INSERT does not name are missing in the log", v)
	}
	return out
}

// filters are the databases that the log is limited to, and those left out.
type filters struct{ only, without []string }

func (f filters) judge(tables []Table) error {
	for _, t := range tables {
		if len(f.only) > 0 && !slices.Contains(f.only, t.Schema) || slices.Contains(f.without, t.Schema) {
			return outbox.Refuse(ReasonFilter, "take the database out of binlog_ignore_db, or into binlog_do_db, in the configuration file, then restart the server",
				"the log leaves out database %s, and with it table %s (binlog_do_db %q, binlog_ignore_db %q)", t.Schema, t, f.only, f.without)
		}
	}
	return nil
}

// logStatus is the end of the log as file and offset, and what is left out.
func (s *Source) logStatus(ctx context.Context, x *session, id identity) (filePos, filters, error) {
	sql := "show master status"
	if id.kind == outbox.MySQL && id.number >= 80200 {
		sql = "show binary log status"
	}
	rows, err := x.query(ctx, sql)
	if err != nil {
		return filePos{}, filters{}, err
	}
	if len(rows) != 1 || len(rows[0]) < 4 {
		return filePos{}, filters{}, outbox.Refuse(ReasonBinlog, logHint, "the server shows no binary log")
	}
	p, err := parseFilePos(rows[0][0] + ":" + rows[0][1])
	return p, filters{split(rows[0][2]), split(rows[0][3])}, err
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// privilegeError makes a missing right a Refusal with the statement that
// grants it.
func (s *Source) privilegeError(step string, err error) error {
	switch errorCode(err) {
	case mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, mysql.ER_ACCESS_DENIED_ERROR, mysql.ER_DBACCESS_DENIED_ERROR,
		mysql.ER_TABLEACCESS_DENIED_ERROR, mysql.ER_COLUMNACCESS_DENIED_ERROR:
		return outbox.Refuse(ReasonPrivilege, strings.Join(s.grants("'USER'@'HOST'"), "; "), "%s: the account lacks a right: %s", step, message(err))
	}
	return fmt.Errorf("%s: %w", step, err)
}

// end is the end of the server's log.
func (s *Source) end(ctx context.Context, x *session) (place, error) {
	p := place{mode: s.id.mode}
	var sql string
	switch s.id.mode {
	case byGTID:
		sql = "select @@global.gtid_executed"
	case byDomain:
		sql = "select @@global.gtid_binlog_pos"
	default:
		f, _, err := s.logStatus(ctx, x, s.id)
		if err != nil {
			return p, s.privilegeError("ask for the log's end", err)
		}
		p.file = f
		return p, nil
	}
	r, err := x.row(ctx, sql)
	if err == nil {
		p, err = parsePlace(s.id.mode, r[0])
	}
	if err != nil {
		return p, fmt.Errorf("ask for the log's end: %w", err)
	}
	return p, nil
}

// sameServer is an error when another server answers on x than the one that
// was proven: a failover happened in between.
func (s *Source) sameServer(ctx context.Context, x *session) error {
	id, err := s.identify(ctx, x)
	if err != nil {
		return err
	}
	return s.sameAs(id)
}

func (s *Source) sameAs(id identity) error {
	if id.server != s.id.server {
		return fmt.Errorf("%w (%s, before: %s): starting again", outbox.ErrOtherServer, id.server, s.id.server)
	}
	if id.mode != s.id.mode {
		return fmt.Errorf("gtid_mode was changed to %s: starting again", id.vars["gtid_mode"])
	}
	return nil
}

// openSame makes an ordinary session to the server that was proven: the
// address may lead to another one by now.
func (s *Source) openSame(ctx context.Context, step string) (*session, error) {
	x, err := s.open(ctx, step)
	if err != nil {
		return nil, err
	}
	if err := s.sameServer(ctx, x); err != nil {
		x.close()
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	return x, nil
}

// Close ends every connection. A later Connect may open them again.
func (s *Source) Close() {
	s.ctl.close()
	if s.lock != nil {
		// The server ends a session a moment after us, and whoever comes next
		// would still find the lock taken.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, _ = s.lock.query(ctx, "do release_lock(%s)", s.lockName("active"))
		cancel()
	}
	s.lock.close()
	s.dropCleanSession()
	s.watchMu.Lock()
	s.watch.close()
	s.watch, s.good = nil, ""
	s.watchMu.Unlock()
	s.ctl, s.lock, s.until = nil, nil, nil
}

// control is the ordinary session, or an error before Connect.
func (s *Source) control() (*session, error) {
	if s.ctl == nil {
		return nil, errSessionLost
	}
	return s.ctl, nil
}

// resume says that reading goes on at p, of whose transactions nothing is
// known but that they are done.
func (s *Source) resume(p *place) outbox.Resume {
	return outbox.Resume{Position: s.position(p), Lineage: lineage{server: s.id.server}.String()}
}

func (s *Source) position(p *place) outbox.Position {
	return outbox.Position{Kind: s.id.kind, Text: p.String()}
}
