package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var ctx = context.Background()

// put appends a transaction of one row and lets the batch rest.
func put(t *testing.T, h *Handoff, n int) {
	t.Helper()
	b, err := h.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.Begin(fmt.Append(nil, n), time.Now(), 0)
	b.Add(testShape)
	b.SetCell(0, fmt.Append(nil, n))
	b.End(fmt.Append(nil, n))
	b.Resume = Resume{Position: pgPos(fmt.Sprint(n))}
	if b.Full(h.Limits()) {
		h.Push(b)
	} else {
		h.Rest(b)
	}
}

func TestHandoffGathersWhileThePublisherIsBusy(t *testing.T) {
	h := NewHandoff(3, Limits{Rows: 10, Bytes: 1 << 20}, Resume{Position: pgPos("0")})
	put(t, h, 1)
	first, _ := h.Take(ctx, time.Time{})
	put(t, h, 2)
	put(t, h, 3)
	second, _ := h.Take(ctx, time.Time{})
	if len(first.Rows) != 1 || len(second.Rows) != 2 {
		t.Fatalf("batches of %d and %d rows, want 1 and 2", len(first.Rows), len(second.Rows))
	}
	if second.Start.Position != pgPos("1") || second.Resume.Position != pgPos("3") {
		t.Errorf("second goes from %s to %s, want 1 to 3", second.Start.Position, second.Resume.Position)
	}
}

// While the log is being caught up with, a batch is left to grow: for a part of
// how far behind it is, until it is full, or until nothing is left to catch up.
func TestHandoffIsPatientWhileBehind(t *testing.T) {
	late := func(h *Handoff, behind time.Duration) {
		b, _ := h.Acquire(ctx)
		b.Begin([]byte("1"), time.Time{}, 0)
		b.Add(&Shape{})
		b.Behind = behind
		h.Rest(b)
	}
	for _, c := range []struct {
		name   string
		behind time.Duration
		wait   time.Duration
		then   func(*testing.T, *Handoff)
	}{
		{"not behind", 0, 0, nil},
		{"a little", 15 * time.Millisecond, 0, nil},
		{"some", 160 * time.Millisecond, 10 * time.Millisecond, nil},
		{"hours", 5 * time.Hour, 100 * time.Millisecond, nil},
		{"full", time.Hour, 3 * time.Millisecond, func(t *testing.T, h *Handoff) {
			b, _ := h.Acquire(ctx)
			h.Push(b)
		}},
		{"more at rest", time.Hour, 100 * time.Millisecond, func(t *testing.T, h *Handoff) { late(h, time.Hour) }},
		{"caught up", time.Hour, 3 * time.Millisecond, func(t *testing.T, h *Handoff) { late(h, 0) }},
		{"urgent", time.Hour, 3 * time.Millisecond, func(t *testing.T, h *Handoff) { h.Advance(Resume{}, true) }},
		{"closed", time.Hour, 3 * time.Millisecond, func(t *testing.T, h *Handoff) { h.Close(ErrEnd) }},
		{"appended to when the time is over", time.Hour, 110 * time.Millisecond, func(t *testing.T, h *Handoff) {
			time.Sleep(90 * time.Millisecond)
			b, _ := h.Acquire(ctx)
			time.Sleep(17 * time.Millisecond)
			h.Rest(b)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHandoff(3, Limits{Rows: 10, Bytes: 1 << 20}, Resume{})
				late(h, 0)
				if _, err := h.Take(ctx, time.Time{}); err != nil {
					t.Fatal(err)
				}
				late(h, c.behind)
				if c.then != nil {
					go func() {
						time.Sleep(3 * time.Millisecond)
						c.then(t, h)
					}()
				}
				start := time.Now()
				if _, err := h.Take(ctx, time.Time{}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != c.wait {
					t.Errorf("it waited %s, want %s", took, c.wait)
				}
				if c.name == "closed" {
					return
				}
				// What the publisher itself needed counts.
				time.Sleep(200 * time.Millisecond)
				late(h, c.behind)
				start = time.Now()
				if _, err := h.Take(ctx, time.Time{}); err != nil || time.Since(start) != 0 {
					t.Errorf("after 200 ms it waited %s more, %v", time.Since(start), err)
				}
			})
		})
	}
}

func TestHandoffPushesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandoff(2, Limits{Rows: 1, Bytes: 1 << 20}, Resume{})
		put(t, h, 1)
		put(t, h, 2)
		got := make(chan error)
		go func() {
			_, err := h.Acquire(ctx)
			got <- err
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("a third batch of two")
		default:
		}
		time.Sleep(2 * time.Minute) // fake time: waiting is not being silent
		if d := time.Since(h.LastHeard()); d > time.Second {
			t.Errorf("a reader that waits for the publisher was heard %s ago", d)
		}
		b, _ := h.Take(ctx, time.Time{})
		h.Recycle(b)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
}

func TestHandoffIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandoff(2, Limits{Rows: 10, Bytes: 1 << 20}, Resume{Position: pgPos("0")})
		start := time.Now()
		if b, err := h.Take(ctx, start.Add(5*time.Second)); b != nil || err != nil || time.Since(start) != 5*time.Second {
			t.Fatalf("got %v, %v after %s; want nothing at the deadline", b, err, time.Since(start))
		}
		h.Advance(Resume{Position: pgPos("9")}, false)
		b, err := h.Take(ctx, time.Now().Add(5*time.Second))
		if err != nil || b == nil || len(b.Rows) != 0 || b.Resume.Position != pgPos("9") || time.Since(start) != 10*time.Second {
			t.Fatalf("got %v, %v after %s; want the idle position at the deadline", b, err, time.Since(start))
		}
		h.Recycle(b)
		h.Advance(Resume{Position: pgPos("10")}, true)
		if b, err = h.Take(ctx, time.Now().Add(5*time.Second)); err != nil || b == nil || !b.Urgent || time.Since(start) != 10*time.Second {
			t.Fatalf("got %v, %v after %s; want the urgent one at once", b, err, time.Since(start))
		}
	})
}

// A position that is raised while a batch rests must not lose its rows, and
// one that is raised while the publisher has it must not change it.
func TestHandoffAdvanceBesideRows(t *testing.T) {
	h := NewHandoff(3, Limits{Rows: 10, Bytes: 1 << 20}, Resume{Position: pgPos("0")})
	put(t, h, 1)
	h.Advance(Resume{Position: pgPos("5")}, false)
	b, _ := h.Take(ctx, time.Time{})
	if len(b.Rows) != 1 || b.Resume.Position != pgPos("5") {
		t.Fatalf("%d rows up to %s", len(b.Rows), b.Resume.Position)
	}
	h.Advance(Resume{Position: pgPos("6")}, false)
	if b.Resume.Position != pgPos("5") {
		t.Error("a batch changed in the publisher's hands")
	}
	put(t, h, 7)
	next, _ := h.Take(ctx, time.Time{})
	if next.Start.Position != pgPos("5") || next.Resume.Position != pgPos("7") {
		t.Errorf("next goes from %s to %s, want 5 to 7", next.Start.Position, next.Resume.Position)
	}
}

func TestHandoffClose(t *testing.T) {
	h := NewHandoff(3, Limits{Rows: 1, Bytes: 1 << 20}, Resume{})
	put(t, h, 1)
	put(t, h, 2)
	h.Close(ErrEnd)
	for n := 1; n <= 2; n++ {
		if b, err := h.Take(ctx, time.Time{}); err != nil || len(b.Rows) != 1 {
			t.Fatalf("take %d: %v", n, err)
		}
	}
	if _, err := h.Take(ctx, time.Time{}); !errors.Is(err, ErrEnd) {
		t.Errorf("take after the last: %v", err)
	}
	if _, err := h.Acquire(ctx); !errors.Is(err, ErrEnd) {
		t.Errorf("acquire: %v", err)
	}
	gone, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("why"))
	if _, err := NewHandoff(2, Limits{}, Resume{}).Take(gone, time.Time{}); err == nil || err.Error() != "why" {
		t.Errorf("take with a context that ended: %v", err)
	}
}

// Reader and publisher side by side: every row once, in order.
func TestHandoffOrder(t *testing.T) {
	const rows = 20_000
	h := NewHandoff(3, Limits{Rows: 7, Bytes: 1 << 20}, Resume{})
	go func() {
		for n := range rows {
			put(t, h, n)
			if n%3 == 0 {
				h.Advance(Resume{Position: pgPos(fmt.Sprint(n))}, n%9 == 0)
			}
		}
		h.Close(ErrEnd)
	}()
	next := 0
	for {
		b, err := h.Take(ctx, time.Now().Add(time.Second))
		if errors.Is(err, ErrEnd) {
			break
		}
		if b == nil {
			continue
		}
		for i := range b.Rows {
			if v, _ := b.Value(&b.Rows[i], 0); string(v) != fmt.Sprint(next) {
				t.Fatalf("got row %s, want %d", v, next)
			}
			next++
		}
		h.Recycle(b)
	}
	if next != rows {
		t.Errorf("%d rows, want %d", next, rows)
	}
}

// A row far larger than a batch is in memory for the reader or for the
// publisher, not for both.
func TestTheReaderWaitsBesideALargeRow(t *testing.T) {
	limits := Limits{Rows: 10, Bytes: 100}
	h := NewHandoff(3, limits, Resume{})
	add := func(size int) *Batch {
		b, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Begin([]byte("1"), time.Now(), 0)
		b.Add(&Shape{Columns: []Column{{Name: "payload"}}})
		b.SetCell(0, make([]byte, size))
		return b
	}
	small := add(100)
	if small.Overfull(limits) {
		t.Error("an ordinary full batch is overfull")
	}
	h.Push(small)
	large := add(1000)
	if !large.Overfull(limits) {
		t.Error("a batch of ten times its size is not overfull")
	}
	if h.Crowded() {
		t.Error("crowded by an ordinary batch")
	}
	h.Push(large)
	if !h.Crowded() {
		t.Fatal("not crowded by a large row")
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stop")
	cancel(cause)
	if err := h.Room(ended); err != cause {
		t.Errorf("room for a reader that stops: %v", err)
	}
	room := make(chan error, 1)
	go func() { room <- h.Room(t.Context()) }()
	for range 2 {
		select {
		case err := <-room:
			t.Fatalf("there is room beside the large row: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		b, err := h.Take(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		b.Reset(0) // whoever publishes may give the memory up before
		h.Recycle(b)
	}
	if err := <-room; err != nil {
		t.Error(err)
	}
	h.Push(add(1000))
	h.Close(cause)
	if err := h.Room(t.Context()); err != cause {
		t.Errorf("room after the end: %v", err)
	}
}
