package connect

import "testing"

func TestPostgresDefaults(t *testing.T) {
	for _, c := range []struct{ typ, expr, want string }{
		{"int4", "7", "7"},
		{"int8", "'9223372036854775807'::bigint", "9223372036854775807"},
		{"int8", "nextval('a_id_seq'::regclass)", "0"},
		{"int4", "(5 + 6)", ""},
		{"int4", "NULL::integer", ""},
		{"bool", "true", "true"},
		{"text", "'it''s'::text", `"it"`}, // up to the next quote, as there
		{"text", "lower('A'::text)", `""`},
		{"uuid", "gen_random_uuid()", `"00000000-0000-0000-0000-000000000000"`},
		{"timestamptz", "now()", `"1970-01-01T00:00:00.000000Z"`},
		{"timestamp", "CURRENT_TIMESTAMP", "0"},
		{"timestamp", "'2024-01-01 00:00:00'::timestamp without time zone", "1704067200000000"},
		{"jsonb", "'{}'::jsonb", `"{}"`},
		{"enum", "'ok'::public.mood", `"ok"`},
		{"numeric", "0.5", ""}, // a struct
		{"bytea", `'\x00'::bytea`, ""},
		{"int4", "", ""},
	} {
		typ, err := Postgres.Type(Column{Name: c.typ, Precision: -1, Scale: -1, Default: c.expr}, Modes{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if v := typ.Schema.Default; v != nil {
			got = string(AppendJSON(nil, typ.Schema, *v))
		}
		if got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.typ, c.expr, got, c.want)
		}
	}
}
