package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/tailer-io/tailer/internal/outbox"
)

// Several hosts in a URL are the servers of one topology, of which one is the
// primary at a time. Each Connect asks them in their order, as libpq does with
// target_session_attrs=primary, and every session, the stream's too, goes to
// the one that was chosen then; that it is still the same server is proven for
// each connection (sameServer).
//
// The primary is the first host that can be written to: with read_only off,
// which on replicas has to be on. One that can be written to and replicates all
// the same is taken only when there is no other: it may be a replica whose
// read_only was forgotten, or one of two primaries that follow each other.
//
// An old primary may come back and can then be written to as well. It lacks
// what was published since, which Prove finds: such a host is passed over too,
// until one is proven. Only when no other is left is the refusal the answer.

// hostTimeout is how long one of several hosts may take to answer: one that
// swallows packets must not keep us from the next.
const hostTimeout = 3 * time.Second

// dialWithin is how long a connection and its login may take.
func (s *Source) dialWithin() time.Duration {
	if len(s.addr.hosts) > 1 {
		return hostTimeout
	}
	return dialTimeout
}

// standing is what one of several servers is good for.
type standing int

const (
	writable standing = iota
	replicating
	readOnly
)

func (r standing) String() string {
	return [...]string{"can be written to", "can be written to, although it is a replica", "is read-only"}[r]
}

// choose opens an ordinary session to the host that is to be read; step names
// its purpose in errors. A single host is taken as it is.
func (s *Source) choose(ctx context.Context, step string) (*session, error) {
	if len(s.addr.hosts) == 1 {
		return s.open(ctx, step)
	}
	var best *session
	var chosen endpoint
	rank, told, failed := -1, make([]string, len(s.addr.hosts)), []error(nil)
	for i, e := range s.addr.hosts {
		x, r, err := s.ask(ctx, e, step)
		if cause := context.Cause(ctx); cause != nil {
			x.close()
			best.close()
			return nil, cause
		}
		if err != nil {
			told[i], failed = e.host+": "+err.Error(), append(failed, err)
			continue
		}
		told[i] = e.host + " " + r.String()
		if s.passed[e.host] {
			told[i] += ", and was refused"
		}
		if now := s.rank(e, r); now > rank && r != readOnly {
			best.close()
			best, chosen, rank = x, e, now
		} else {
			x.close()
		}
		if rank == first {
			s.take(chosen, told[:i])
			return best, nil
		}
	}
	if best == nil {
		return nil, s.nobody(step, told, failed)
	}
	s.take(chosen, told)
	return best, nil
}

// first is the rank of a host with which nothing is wrong.
const first = 3

// rank orders hosts that can be written to; of equal ones the first is taken.
func (s *Source) rank(e endpoint, r standing) int {
	n := first
	if s.passed[e.host] {
		n -= 2
	}
	if r == replicating {
		n--
	}
	return n
}

func (s *Source) take(e endpoint, told []string) {
	s.at, s.behind, s.last = e, nil, s.passed[e.host]
	for _, t := range told {
		if !strings.HasPrefix(t, e.host+" ") {
			s.behind = append(s.behind, t)
		}
	}
	s.log.Info("chose a host", "host", e.host, "others", strings.Join(s.behind, "; "))
}

// nobody is the error when no host will do. It is the configuration's fault
// when all of them say so.
func (s *Source) nobody(step string, told []string, failed []error) error {
	text := strings.Join(told, "; ")
	wrong := 0
	var hint string
	for _, err := range failed {
		var inv *outbox.Invalid
		if errors.As(err, &inv) {
			wrong, hint = wrong+1, inv.Hint
		}
	}
	if wrong == len(told) {
		return &outbox.Invalid{Option: "source-url", Text: "no host can be used: " + text, Hint: hint}
	}
	return fmt.Errorf("%s: no host can be written to: %s", step, text)
}

// ask opens a session to one of several hosts, and finds out what it is good
// for.
func (s *Source) ask(ctx context.Context, e endpoint, step string) (*session, standing, error) {
	was := s.at
	defer func() { s.at = was }()
	s.at = e
	x, err := s.open(ctx, step)
	if err != nil {
		var inv *outbox.Invalid
		if errors.As(err, &inv) {
			return nil, 0, err
		}
		return nil, 0, plainly(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hostTimeout, fmt.Errorf("it did not answer within %s", hostTimeout))
	defer cancel()
	r, err := s.standingOf(ctx, x)
	if err != nil {
		x.close()
		return nil, 0, err
	}
	return x, r, nil
}

// plainly takes the purpose off an error, which is said once for all hosts.
func plainly(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

func (s *Source) standingOf(ctx context.Context, x *session) (standing, error) {
	id, err := s.identify(ctx, x)
	switch {
	case err != nil:
		return 0, err
	case id.readOnly():
		return readOnly, nil
	}
	follows, err := follows(ctx, x, &id)
	switch {
	case err != nil:
		return 0, err
	case follows:
		return replicating, nil
	}
	return writable, nil
}

// readOnly: MariaDB has more than one way to be, and a reader of Aurora says so
// elsewhere.
func (id *identity) readOnly() bool {
	for _, name := range []string{"read_only", "innodb_read_only"} {
		if v := id.vars[name]; v != "" && v != "0" && !strings.EqualFold(v, "OFF") {
			return true
		}
	}
	return false
}

// follows tells whether the server applies another one's log. Who may not know
// takes it that it does not.
func follows(ctx context.Context, x *session, id *identity) (bool, error) {
	if id.kind == outbox.MariaDB {
		// SHOW SLAVE STATUS wants a right that nothing else here needs.
		rows, err := x.query(ctx, "show global status like 'Slaves\\_running'")
		if err != nil {
			return false, fmt.Errorf("ask whether it is a replica: %w", err)
		}
		return len(rows) == 1 && rows[0][1] != "0", nil
	}
	sql, column := "show replica status", "Replica_SQL_Running"
	if id.number < 80022 {
		sql, column = "show slave status", "Slave_SQL_Running"
	}
	res, err := x.result(ctx, askTimeout, sql)
	switch {
	case errorCode(err) == mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask whether it is a replica: %w", err)
	}
	for i := range res.RowNumber() {
		if v, err := res.GetStringByName(i, column); err == nil && strings.EqualFold(v, "Yes") {
			return true, nil
		}
	}
	return false, nil
}

// passOver takes what Prove found. A host that is refused for what its log
// holds is passed over by the next Connect while there may be another; that is
// a transient error.
func (s *Source) passOver(err error) error {
	if len(s.addr.hosts) == 1 {
		return err
	}
	refusal, ok := err.(*outbox.Refusal)
	if err == nil {
		s.passed = nil
	}
	if !ok || !aboutTheServer[refusal.Reason] {
		return err
	}
	if s.last || len(s.passed) == len(s.addr.hosts)-1 && !s.passed[s.at.host] {
		s.passed = nil
		c := *refusal
		c.Text = s.at.host + ": " + c.Text
		if len(s.behind) > 0 {
			c.Text += "; the other hosts: " + strings.Join(s.behind, "; ")
		}
		return &c
	}
	if s.passed == nil {
		s.passed = make(map[string]bool)
	}
	s.passed[s.at.host] = true
	return fmt.Errorf("host %s is passed over, looking for another: %s", s.at.host, refusal.Text)
}

// aboutTheServer are the refusals that another server may not give.
var aboutTheServer = map[string]bool{
	ReasonAhead: true, ReasonPurged: true, ReasonHistory: true, ReasonServer: true, ReasonStrict: true,
}

// stillPrimary is an error when the chosen one of several hosts may not be
// written to any more: another one is the primary by now, or about to be.
func (s *Source) stillPrimary(id identity) error {
	if len(s.addr.hosts) > 1 && id.readOnly() {
		return fmt.Errorf("%w: %s has become read-only: starting again", outbox.ErrOtherServer, s.at.host)
	}
	return nil
}
