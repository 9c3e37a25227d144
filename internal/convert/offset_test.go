package convert

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadOffset(t *testing.T) {
	const (
		pgInsert = `{"lsn_proc": 44357449320, "messageType": "INSERT", "lsn_commit": 44357443232, "lsn": 44357449320, "txId": 12001144, "ts_usec": 1795391168449171, "transaction_id": null}`
		mysqlRow = `{"ts_sec": 1795392079, "file": "binlog.000283", "pos": 548454474, "gtids": "86731ccb-e6b7-11f1-90fd-02fc00000001:1-529009,\n86731ccb-e6b7-11f1-90fd-02fc00000002:1-2", "row": 5, "server_id": 1, "event": 278}`
	)
	insert := &PostgresOffset{LSN: 44357449320, Commit: 44357443232, Transaction: 12001144, Event: "INSERT"}
	row := &BinlogOffset{File: "binlog.000283", Pos: 548454474, Events: 278, Rows: 5,
		GTIDs: "86731ccb-e6b7-11f1-90fd-02fc00000001:1-529009,86731ccb-e6b7-11f1-90fd-02fc00000002:1-2"}
	for _, c := range []struct {
		name, text string
		want       Offset
	}{
		{"as Kafka Connect answers", `{"offsets":[{"partition":{"server":"shop"},"offset":` + pgInsert + `}]}`, Offset{Postgres: insert}},
		{"one partition", `{"partition":{"server":"shop"},"offset":` + pgInsert + `}`, Offset{Postgres: insert}},
		{"bare", pgInsert, Offset{Postgres: insert}},
		{"a commit", `{"lsn": 24, "lsn_proc": 24, "lsn_commit": 24, "messageType": "COMMIT"}`,
			Offset{Postgres: &PostgresOffset{LSN: 24, Commit: 24, Event: "COMMIT"}}},
		{"a change where the last commit ends", `{"lsn": 24, "lsn_commit": 24, "messageType": "INSERT", "txId": 7}`,
			Offset{Postgres: &PostgresOffset{LSN: 24, Commit: 24, Transaction: 7, Event: "INSERT"}}},
		{"inside a transaction of MySQL", `{"offsets":[{"partition":{"server":"shop"},"offset":` + mysqlRow + `}]}`, Offset{Binlog: row}},
		{"between transactions", `{"file": "binlog.000001", "pos": 157, "snapshot": null, "incremental_snapshot_primary_key": null}`,
			Offset{Binlog: &BinlogOffset{File: "binlog.000001", Pos: 157}}},
		{"a snapshot that is over", `{"file": "binlog.000001", "pos": 4, "snapshot": false}`, Offset{Binlog: &BinlogOffset{File: "binlog.000001", Pos: 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadOffset([]byte(c.text))
			if err != nil || !reflect.DeepEqual(*got, c.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestReadOffsetRefuses(t *testing.T) {
	const inSnapshot = "it stands in a snapshot: wait until the connector streams and has published a row that was inserted since"
	for _, c := range []struct{ text, want string }{
		{`no JSON`, "it is no JSON object: invalid character 'o' in literal null (expecting 'u')"},
		{`{} {}`, "more than one JSON object is in it"},
		{`{"error_code":404,"message":"Connector shop not found"}`, "it is an error of Kafka Connect: Connector shop not found"},
		{`{"offsets":[]}`, "the connector has committed no offset yet"},
		{`{"offsets":[{"partition":{"server":"a"},"offset":null}]}`, "the connector has committed no offset yet"},
		{`{"offsets":["a"]}`, "the element of offsets is no object"},
		{`{"offsets":[{"offset":{}},{"offset":{}}]}`, "it holds offsets of 2 partitions: leave only the one whose server is the connector's topic.prefix"},
		{`{"resume_token":"x","sec":1}`, "it has neither lsn (PostgreSQL) nor file and pos (MySQL, MariaDB), but resume_token, sec"},
		{`{"lsn":24,"snapshot":"INITIAL","last_snapshot_record":true}`, inSnapshot},
		{`{"file":"b.1","pos":4,"snapshot":true}`, inSnapshot},
		{`{"file":"b.1","pos":4,"incremental_snapshot_primary_key":"aced"}`, "it stands in an incremental snapshot: wait until the connector has ended that"},
		{`{"lsn":24,"messageType":"INSERT","txId":7}`, "it has no lsn_commit: the connector has not seen the end of a transaction since it began to stream"},
		{`{"lsn":24,"lsn_commit":16}`, "it has no messageType: a connector older than 2.2 wrote it, which does not say whether the event at lsn is done with"},
		{`{"lsn":24,"lsn_commit":16,"messageType":"NOOP"}`, "its messageType is NOOP, which is not known"},
		{`{"lsn":24,"lsn_commit":16,"messageType":"COMMIT"}`, "its messageType is COMMIT, and lsn and lsn_commit differ: 24, 16"},
		{`{"lsn":24,"lsn_commit":16,"messageType":"INSERT"}`, "it stands inside a transaction and has no txId"},
		{`{"lsn":24,"lsn_commit":24,"messageType":"BEGIN"}`, "it stands inside a transaction and has no txId"},
		{`{"lsn":-24,"lsn_commit":16}`, "its lsn is no whole number from 0 to 9223372036854775807: -24"},
		{`{"lsn":2.5,"lsn_commit":16}`, "its lsn is no whole number from 0 to 9223372036854775807: 2.5"},
		{`{"lsn":24,"lsn_commit":16,"txId":4294967296}`, "its txId is no whole number from 0 to 4294967295: 4294967296"},
		{`{"lsn":24,"lsn_commit":16,"messageType":3}`, "its messageType is no text: 3"},
		{`{"file":7,"pos":4}`, "its file is no text: 7"},
		{`{"file":"b.1"}`, "its pos is 0, where no event begins"},
		{`{"file":"b.1","pos":157,"row":3}`, "it counts rows of an event outside of a transaction, as it is inside an XA transaction: let the connector publish something else"},
	} {
		got, err := ReadOffset([]byte(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line", c.text)
		}
	}
}
