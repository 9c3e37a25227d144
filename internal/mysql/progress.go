package mysql

import (
	"time"

	"github.com/tailer-io/tailer/internal/outbox"
)

// acquire takes a batch to append to. An empty one begins at what is done by
// now, unless a transaction goes on in it.
func (f *feed) acquire() error {
	b, err := f.h.Acquire(f.ctx)
	if err != nil {
		return err
	}
	if len(b.Txns) == 0 {
		if f.rows == 0 {
			b.Start = f.resume()
		}
		f.forget()
	}
	b.After = f.after
	f.batch = b
	return nil
}

func (f *feed) after(b *outbox.Batch, n int) outbox.Resume { return after(f.kind, f.mode, b, n) }

// forget empties between.
func (f *feed) forget() {
	if f.any {
		f.between.set.clear()
		f.between.domain = f.between.domain[:0]
		f.any = false
	}
}

// cut hands over a full batch in the middle of a transaction.
func (f *feed) cut() error {
	if f.group.xa {
		// Whether it ends in one phase is not known before its end.
		return f.preparedXA()
	}
	r := f.resume()
	r.Open = &outbox.Open{Txn: f.group.name.text(f.mode), Rows: f.rows}
	f.begun = false
	f.push(r)
	f.forget()
	return nil
}

func (f *feed) push(r outbox.Resume) {
	f.batch.Resume = r
	f.h.Push(f.batch)
	f.batch = nil
}

// step is the text of the step over the transaction that has just ended.
func (f *feed) step() []byte {
	switch {
	case f.mode == byFile:
		return appendStep(f.text[:0], &f.done, f.created)
	case f.any:
		return appendStep(f.text[:0], &f.between, f.group.at)
	}
	return appendStep(f.text[:0], nil, f.group.at)
}

// settle is called before reading waits for the server: what ends on a commit
// is left for the publisher, and progress without rows is told.
func (f *feed) settle() {
	switch {
	case f.batch != nil && f.begun && f.batch.Overfull(f.limits) && !f.group.xa:
		_ = f.cut() // which fails for XA only
	case f.batch != nil && !f.begun:
		f.batch.Resume, f.batch.Behind = f.resume(), f.behind()
		f.h.Rest(f.batch)
		f.batch = nil
	case f.batch == nil && f.rows == 0 && (f.dirty || f.heard):
		f.heard = false
		f.h.Advance(f.resume(), false)
	}
	// An error is the end of the stream, which the read that follows meets too.
	_ = f.h.Room(f.ctx)
}

// behind is how long ago the newest transaction of the batch was committed, by the
// server's clock.
func (f *feed) behind() time.Duration {
	t := f.batch.Txns
	if len(t) == 0 {
		return 0
	}
	d := time.Now().Add(f.ahead).Sub(t[len(t)-1].Commit)
	if f.mariadb {
		d -= 2 * time.Second // it notes whole seconds, and the statement's begin
	}
	return max(d, 0)
}

// end hands the last position over, as a batch of its own if need be.
func (f *feed) end() error {
	if f.batch == nil {
		if err := f.acquire(); err != nil {
			return err
		}
	}
	f.push(f.resume())
	return outbox.ErrEnd
}

// abandon leaves the whole transactions of a batch to the publisher although
// the one behind them cannot be read.
func (f *feed) abandon() {
	if f.batch == nil {
		return
	}
	if f.begun {
		if f.batch.Txns[len(f.batch.Txns)-1].Before > 0 {
			return
		}
		f.batch.Truncate(f.first)
		f.begun = false
	}
	f.batch.Resume = f.resume()
	f.h.Rest(f.batch)
	f.batch = nil
}

// resume is what a checkpoint has to say at the end of what is done with. A
// transaction that an earlier run cut and that was not met yet stays open.
func (f *feed) resume() outbox.Resume {
	if f.dirty {
		if f.moved {
			f.branch.last, f.branch.before = f.last.text(f.mode), ""
			if f.before.domain != (domainGTID{}) {
				f.branch.before = f.before.domain.String()
			}
		}
		f.told = outbox.Resume{
			Position: outbox.Position{Kind: f.kind, Text: f.done.String()},
			Lineage:  f.branch.String(),
		}
		f.dirty = false
	}
	r := f.told
	if f.open != nil {
		open := *f.open
		r.Open = &open
	}
	return r
}

// reached: is everything up to u done with?
func (f *feed) reached(u *place) bool { return u.behind(&f.done) == 0 }
