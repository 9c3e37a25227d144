// Package chaos breaks what stands around a running tailer, and tailer itself, while an application writes, and lets
// e2e/check judge what came of it: ids lost, doubled, out of order, foreign, transactions left open, confirmed
// positions that led the checkpoint.
//
// Each fault says what has to come of it: tailer goes on by itself, or it ends with status 3 and a text. A fault is
// played alone, several times in one world (a database, a name, topics of its own); then faults of different kinds are
// mixed at random. What is random comes from one seed, which is printed: the same seed and the same names play the
// same faults with the same sizes and pauses, though not the same interleaving of processes.
//
// Faults that nobody beside their world notices are played side by side, as many as go test's -parallel says and the
// brokers have listeners for proxies; what shakes a database server has it for itself. What shakes the brokers strikes
// worlds of all sources at once.
//
// It finds its servers as the other end-to-end tests do. The environment says what is played:
//
//	CHAOS_SERVERS=own   the servers of `scripts/stack` in STACK_DIR belong to this run: databases and three brokers
//	                    (kafka3) are killed and started again. Without it only faults are played that others on the
//	                    same servers do not notice.
//	CHAOS_SEED          the seed; the clock without it
//	CHAOS_SOURCES       postgres,mysql,mariadb
//	CHAOS_FAULTS        a regular expression for the names of faults, "mixed" among them; all of them
//	CHAOS_TIMES         how often each fault is played (2); long ones are played twice at most
//	CHAOS_LONG          how long the long ones last (1m)
//	CHAOS_MIXED         how many rounds of mixed faults (CHAOS_TIMES, 8 at least)
//	CHAOS_RESULTS       a file to which every world's result is appended. What the same version of tailer has been played
//	                    there is not played again, so that several sittings add up; make chaos-table prints the sum.
//
// Without CHAOS_SERVERS and CHAOS_FAULTS it is the short form: mixed rounds of quick faults for half a minute, on one source
// that the seed chooses, or each of CHAOS_SOURCES.
//
// TestSoak is the opposite: nothing breaks for SOAK_FOR, and nothing may grow.
package chaos
