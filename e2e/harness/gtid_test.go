package harness

import "testing"

func TestPositionsAreComparedAsSets(t *testing.T) {
	const u, v = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	mysql, mariadb := &MySQLDatabase{kind: "mysql"}, &MySQLDatabase{kind: "mariadb"}
	for _, k := range []struct {
		db   *MySQLDatabase
		a, b string
		want int // 2: an error
	}{
		{mysql, u + ":1-5", u + ":1-5", 0},
		{mysql, u + ":1-3:4-5", u + ":1-5", 0},
		{mysql, u + ":1-5", u + ":1-6", -1},
		{mysql, u + ":1-6", u + ":1-5", 1},
		{mysql, u + ":1-5,\n" + v + ":1", u + ":1-5", 1},
		{mysql, u + ":1-5", "none", 1},
		{mysql, "", u + ":1", -1},
		{mysql, u + ":1-5:tag:1", u + ":1-5", 1},
		{mysql, u + ":1-5", v + ":1-5", 2},
		{mysql, u + ":1-5:7", u + ":1-6", 2},
		{mysql, "nonsense", u + ":1", 2},
		{mysql, "binlog.000009:345", "binlog.000009:345", 0},
		{mysql, "binlog.999999:345", "binlog.1000000:4", -1},
		{mysql, "binlog.000010:4", "uuid:1-5", 2},
		{mariadb, "0-1-42", "0-1-42", 0},
		{mariadb, "0-1-42", "0-2-43", -1},
		{mariadb, "0-1-42,7-1-1", "0-1-42", 1},
		{mariadb, "7-1-1,0-1-42", "0-1-43", 2},
		{mariadb, "0-1", "0-1-43", 2},
	} {
		got, err := k.db.Compare(k.a, k.b)
		if (err != nil) != (k.want == 2) || err == nil && got != k.want {
			t.Errorf("compare %q and %q: %d, %v; wanted %d", k.a, k.b, got, err, k.want)
		}
	}
}
