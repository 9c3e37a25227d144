package pg

// The reasons of this package's refusals: a closed set, because they label the
// metric tailer_refused.
const (
	ReasonVersion     = "server_version"        // older than 14
	ReasonWalLevel    = "wal_level"             // not logical
	ReasonRecovery    = "in_recovery"           // a standby at the first connection
	ReasonPooler      = "pooler"                // no replication behind it
	ReasonPrivilege   = "privilege"             // the role lacks a right
	ReasonTable       = "table"                 // gone, replaced, unlogged, of a wrong kind
	ReasonColumn      = "column_missing"        // a wanted column is gone
	ReasonPublication = "publication"           // missing, or does not bring every row
	ReasonSlotMissing = "slot_missing"          // a checkpoint without its slot
	ReasonSlotForeign = "slot_foreign"          // other plugin, kind or database
	ReasonSlotLost    = "slot_lost"             // its log was removed, or it was invalidated
	ReasonSlotMoved   = "slot_moved"            // confirmed beyond the checkpoint
	ReasonSlots       = "no_slot_left"          // max_replication_slots are in use
	ReasonSlotActive  = "slot_active"           // teardown while somebody reads
	ReasonTimeline    = "timeline"              // the checkpoint lies on a branch that was left
	ReasonAhead       = "checkpoint_ahead"      // the server's log ends before the checkpoint
	ReasonOpen        = "open_transaction_gone" // the transaction cut by the checkpoint is not met again
)
