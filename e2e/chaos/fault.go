package chaos

import "time"

// Layer is what a fault strikes. Faults of one layer are not mixed with each other: they may need what the other took.
type Layer string

// The layers.
const (
	Tailer  Layer = "tailer"
	Kafka   Layer = "kafka"
	Network Layer = "network"
	Source  Layer = "source"
)

// Fault is one thing that goes wrong, and what has to come of it.
type Fault struct {
	Name    string
	Layer   Layer
	Expect  string   // what has to come of it, for people
	Sources []string // kinds of sources; none: all

	// Do does it and returns what undoes it, nil where it is over already. One that shakes the brokers does it for all of
	// w.struck().
	Do func(w *World) (heal func())
	// Min and Max are how long it lasts until it is undone.
	Min, Max time.Duration
	// Within is how long tailer may take to go on, counted from the healing; with Through, from the fault, which is
	// healed only afterwards. It is the bound of what is correct on a busy machine, not of what is usual. 0: 2 minutes.
	Within  time.Duration
	Through bool
	// Refuses are words of the text with which tailer has to end, with status 3: nothing is published from then on.
	Refuses []string

	// Ends are statuses that tailer may end with beside what the fault itself did: a supervisor starts it again.
	Ends []int
	// Own: it needs servers that belong to this run, three brokers among them.
	Own bool
	// Shakes is what it strikes beyond its own world, Kafka or Source: worlds of others on the same servers would notice.
	Shakes Layer
	// Rough: writers' connections may break.
	Rough bool
	// Led: somebody else moves the confirmed position.
	Led bool
	// Grows: the topics get more partitions, so the place of a key changes.
	Grows bool
	// Short: it is part of the short form.
	Short bool
	// First: it waits for messages to flow, so of two it comes first.
	First bool
	// Alone: it is not mixed with others.
	Alone bool
	// Long: it lasts as long as CHAOS_LONG says, and is played twice at most.
	Long bool
	// Rights: tailer uses an account with the least rights, which setup --print prints.
	Rights bool
}

func (f *Fault) fits(kind string) bool {
	if len(f.Sources) == 0 {
		return true
	}
	for _, s := range f.Sources {
		if s == kind {
			return true
		}
	}
	return false
}

func (f *Fault) within() time.Duration {
	if f.Within == 0 {
		return 2 * time.Minute
	}
	return f.Within
}

// refusal reports whether tailer has to end.
func (f *Fault) refusal() bool { return len(f.Refuses) > 0 }

// timesInAWorld is how often the fault can be played in one world. A refusal leaves none to go on in; of others a world
// ends after a few times, so that a run that is interrupted has not lost all of them.
func (f *Fault) timesInAWorld() int {
	if f.refusal() {
		return 1
	}
	return 5
}

// Faults is every fault there is.
func Faults() []*Fault {
	var all []*Fault
	for _, list := range [][]Fault{tailerFaults, kafkaFaults, requestFaults(), networkFaults(), sourceFaults} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

// transactionTimeout is what tailers of this suite are given, so that a coordinator's patience can be outlasted.
const transactionTimeout = 6 * time.Second
