package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// at is w's configuration with these hosts.
func (w *world) at(hosts ...string) Config {
	cfg := w.config()
	cfg.URL = strings.Replace(cfg.URL, w.url.Host, strings.Join(hosts, ","), 1)
	return cfg
}

// mute is an address at which connections are taken and nothing is ever said,
// and dead one at which nobody is.
func mute(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func dead(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// Of several hosts the one that can be written to is read, through every
// connection; one that cannot, does not answer, or replicates is not.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			t.Parallel()
			p, r := private(t, env, 1), private(t, env, 2, "--read-only=ON")
			p.app()
			r.follow(p)
			silent, nobody := mute(t), dead(t)
			s := New(p.at(silent, nobody, r.url.Host, p.url.Host), quiet())
			s.patience = 100 * time.Millisecond
			t.Cleanup(s.Close)
			connect := func(to *world) {
				t.Helper()
				begin := time.Now()
				id, err := s.Connect(p.ctx())
				if err != nil {
					t.Fatal(err)
				}
				if s.at.host != to.url.Host {
					t.Fatalf("%s was chosen, want %s: %q", s.at.host, to.url.Host, s.behind)
				}
				if id.Lineage != s.id.server {
					t.Errorf("lineage %q of server %q", id.Lineage, s.id.server)
				}
				if d := time.Since(begin); d > hostTimeout+10*time.Second {
					t.Errorf("it took %s", d)
				}
			}
			connect(p)
			for _, want := range []string{silent + ":", nobody + ":", r.url.Host + " is read-only"} {
				if !strings.Contains(strings.Join(s.behind, "; "), want) {
					t.Errorf("%q does not say %q", s.behind, want)
				}
			}
			r.caughtUp(p)

			// Every connection.
			if held, holder, err := s.TryLock(p.ctx()); err != nil || !held {
				t.Fatalf("lock: %s, %v", holder, err)
			}
			if err := s.Watch(p.ctx()); err != nil {
				t.Fatal(err)
			}
			v, err := s.CreateAnchor(p.ctx(), outbox.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			v.Close()
			p.exec(insert(1))
			got := p.drain(s, v.Resume())
			p.want(rows(got), row(1))
			checkpoint := got[len(got)-1].resume
			r.caughtUp(p)

			// A replica that can be written to is no primary while there is one.
			r.exec("set global read_only = off")
			connect(p)
			if !strings.Contains(strings.Join(s.behind, "; "), "although it is a replica") {
				t.Errorf("%q", s.behind)
			}
			told := ""
			for _, f := range s.Check(p.ctx()) {
				told += fmt.Sprintf("%v %s: %s\n", f.Level, f.What, f.Found)
			}
			for _, want := range []string{
				"warn host " + silent + ": it cannot be followed", "warn host " + nobody + ": it cannot be followed",
				"warn host " + r.url.Host + ": it can be written to, although", "ok host " + p.url.Host + ": it can be written to",
			} {
				if !strings.Contains(told, want) {
					t.Errorf("check does not say %q:\n%s", want, told)
				}
			}
			r.exec("set global read_only = on")
			connect(p)

			// The primary is demoted; nobody follows it yet.
			p.exec("set global read_only = on")
			if err := s.Watch(p.ctx()); !errors.Is(err, outbox.ErrOtherServer) {
				t.Errorf("watch after the demotion: %v", err)
			}
			_, err = s.Connect(p.ctx())
			var refusal *outbox.Refusal
			if err == nil || errors.As(err, &refusal) {
				t.Fatalf("connected without a primary: %v", err)
			}
			for _, host := range []string{silent, nobody, p.url.Host, r.url.Host} {
				if !strings.Contains(err.Error(), host) {
					t.Errorf("%q does not name %s", err, host)
				}
			}
			r.promote()
			r.exec("set global read_only = off", insert(2))
			connect(r)
			if err := s.Prove(p.ctx(), checkpoint); err != nil {
				t.Fatal(err)
			}
			got = r.drain(s, checkpoint)
			r.want(rows(got), row(2))
		})
	}
}

// An old primary that comes back, and can be written to, lacks what was
// published since: it is passed over for the one that does not. When there is
// no such one, that is refused.
func TestAnOldPrimaryIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, env := range serverVars {
		t.Run(strings.ToLower(strings.Split(env, "_")[1]), func(t *testing.T) {
			t.Parallel()
			p, r := private(t, env, 1), private(t, env, 2)
			p.app()
			r.follow(p)
			r.caughtUp(p)
			r.promote()
			nobody := dead(t)
			s := New(p.at(p.url.Host, nobody, r.url.Host), quiet())
			s.patience = 100 * time.Millisecond
			t.Cleanup(s.Close)
			n := New(r.config(), quiet())
			t.Cleanup(n.Close)
			if _, err := n.Connect(p.ctx()); err != nil {
				t.Fatal(err)
			}
			start := r.here(n)
			r.exec(insert(1))
			got := r.drain(n, start)
			checkpoint := got[len(got)-1].resume

			prove := func(want *world) error {
				t.Helper()
				if _, err := s.Connect(p.ctx()); err != nil {
					t.Fatal(err)
				}
				if s.at.host != want.url.Host {
					t.Fatalf("%s was chosen, want %s: %q", s.at.host, want.url.Host, s.behind)
				}
				return s.Prove(p.ctx(), checkpoint)
			}
			var refusal *outbox.Refusal
			if err := prove(p); err == nil || errors.As(err, &refusal) || !strings.Contains(err.Error(), p.url.Host) {
				t.Fatalf("the old primary: %v", err)
			}
			if err := prove(r); err != nil {
				t.Fatalf("the new one: %v", err)
			}
			if err := prove(p); err == nil || errors.As(err, &refusal) {
				t.Fatalf("once more: %v", err)
			}

			// The new one is not to be had.
			r.exec("set global read_only = on")
			err := prove(p)
			text := p.refused(err, ReasonAhead).Text
			for _, want := range []string{p.url.Host, nobody, r.url.Host + " is read-only"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			// Somebody mended it.
			if err := prove(p); err == nil || errors.As(err, &refusal) {
				t.Fatalf("after a refusal: %v", err)
			}
			r.exec("set global read_only = off")
			if err := prove(r); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Hosts that all say that the configuration is wrong are believed, in one
// error; a host that is down may yet come.
func TestHostsThatRefuse(t *testing.T) {
	onServers(t, func(w *world) {
		w.outbox()
		cfg := w.at(w.url.Host, w.url.Host)
		cfg.URL = strings.Replace(cfg.URL, "root@", "nobody_of_that_name@", 1)
		var inv *outbox.Invalid
		if _, err := New(cfg, quiet()).Connect(w.ctx()); !errors.As(err, &inv) || inv.Option != "source-url" {
			t.Errorf("no such account: %v", err)
		}
		cfg.URL = strings.Replace(cfg.URL, w.url.Host, dead(t), 1)
		if _, err := New(cfg, quiet()).Connect(w.ctx()); err == nil || errors.As(err, &inv) {
			t.Errorf("no such account, and nobody: %v", err)
		}
		ctx, cancel := context.WithCancelCause(w.ctx())
		stopped := errors.New("stopped")
		cancel(stopped)
		if _, err := New(w.at(mute(t), w.url.Host), quiet()).Connect(ctx); !errors.Is(err, stopped) {
			t.Errorf("stopped: %v", err)
		}
	})
}
