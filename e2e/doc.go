// Package e2e drives the real tailer against real servers and lets one independent checker judge what consumers
// find. The names of the tests say what is guaranteed.
//
// Everything is found through environment variables; a test whose server or binary is missing skips and says so:
//
//	E2E_TAILER               the binary
//	E2E_TAILER_FAULTS        the same built with -tags faults, which kills itself at FAULT_CRASH_AT
//	E2E_SOURCE               postgres, the default, mysql or mariadb
//	E2E_FULL=1               the long form of every case
//	E2E_SEED                 repeats a run that failed
//	STACK_PG_URL             a superuser's URL; STACK_PG14_URL, STACK_PG17_URL, STACK_PG18_URL for the long form
//	STACK_MYSQL_URL          URL of an account that may do everything; STACK_MYSQL_SERVER, the program, and
//	                         STACK_MYSQL_PRISTINE, the files of an empty server, for servers of a test's own; the
//	                         same with STACK_MARIADB
//	STACK_KAFKA              brokers
//	STACK_KAFKA_FAULTS       ways to the broker for proxies, LISTEN/TARGET each: an address that it advertises and nobody
//	                         listens on, and where it listens for what the proxy forwards
package e2e
