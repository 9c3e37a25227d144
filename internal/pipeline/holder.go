package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/tailer-io/tailer/internal/checkpoint"
)

// activeNow says who holds the name's lock: which process on which host, as the
// newest barrier has it (every holder writes one right after it has taken the
// lock), or without one the newest record; and which session of the database.
// The server itself knows its clients' addresses, and not their processes.
func (p *Pipeline) activeNow(ctx context.Context, session string, rec *checkpoint.Record) string {
	instance := ""
	if p.topic != nil {
		// Not being able to say so must not hide what is known already.
		if got, err := p.topic.Newest(ctx, []string{p.barrierKey()}, nil); err == nil {
			instance = barrierInstance(got[p.barrierKey()])
		}
	}
	if instance == "" && rec != nil {
		instance = rec.Instance
	}
	host, pid, ok := parseInstance(instance)
	if !ok {
		return session
	}
	return fmt.Sprintf("process %s on host %s (%s)", pid, host, session)
}

// parseInstance reads Config.Instance, HOST/PID/UNIQUE.
func parseInstance(s string) (host, pid string, ok bool) {
	f := strings.Split(s, "/")
	if len(f) != 3 || f[0] == "" || f[1] == "" {
		return "", "", false
	}
	return f[0], f[1], true
}
