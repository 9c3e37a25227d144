package mysql

// The reasons of this package's refusals: a closed set, because they label the
// metric tailer_refused.
const (
	ReasonVersion     = "server_version"        // older than MySQL 8.0, MariaDB 10.6
	ReasonBinlog      = "binlog"                // off, or its files cannot be read
	ReasonFormat      = "binlog_format"         // not ROW, or a statement met in the log
	ReasonImage       = "binlog_row_image"      // rows come without a wanted column
	ReasonFilter      = "binlog_filter"         // the table's database is left out
	ReasonPrivilege   = "privilege"             // the account lacks a right
	ReasonTable       = "table"                 // gone, or of an engine without transactions
	ReasonColumn      = "column_missing"        // a wanted column is gone, or cannot be told by its name
	ReasonCharset     = "charset"               // a wanted text column is not in utf8mb4
	ReasonType        = "column_type"           // a wanted column is of a type that cannot be read
	ReasonServerID    = "server_id"             // another replica has the same
	ReasonPurged      = "binlog_purged"         // the log behind the checkpoint is gone
	ReasonAhead       = "checkpoint_ahead"      // the server lacks what was published
	ReasonHistory     = "history_changed"       // a GTID names another transaction now, or the file is another one
	ReasonServer      = "server_changed"        // another server, and no GTIDs to compare
	ReasonStrict      = "gtid_strict_mode"      // another MariaDB server that does not keep GTIDs in order
	ReasonOpen        = "open_transaction_gone" // the transaction cut by the checkpoint is not met again
	ReasonXA          = "xa_prepared"           // rows of a transaction that may still be rolled back
	ReasonRollback    = "rolled_back"           // rows of a transaction that was cut, and then rolled back
	ReasonSnapshot    = "snapshot_lock"         // the tables cannot be locked for a moment
	ReasonCheckpoint  = "checkpoint_unusable"   // the position cannot be read in this server's mode
	ReasonUnsupported = "binlog_event"          // an event that this version does not know
)
