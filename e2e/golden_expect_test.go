package e2e

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/tailer-io/tailer/e2e/check"
)

// expectation is what tailer does about a case where it differs from the original on purpose.
type expectation struct {
	// lost: tailer convert names this option, and prints nothing.
	lost string
	// refused: tailer run ends with this status, 2 when there is none, and says this.
	refused string
	status  int
	// poison: the row cannot be published, for this reason.
	poison string
	// records: other records than the recorded ones.
	records func(*goldenCase) []goldenRecord
	// before are statements that the case needs before tailer starts: a case that is not among these made that.
	before []string
	// noPrefix: with a prefix the topic would be another case.
	noPrefix bool
	// alone: the case is not to share a tailer.
	alone bool
}

// differs tells that tailer does something else than the original.
func (e expectation) differs() bool {
	return e.lost != "" || e.refused != "" || e.poison != "" || e.records != nil
}

// none is for cases that publish nothing.
func none(*goldenCase) []goldenRecord { return nil }

// firstOnly is for cases in which the original publishes a row again when its primary key changes.
func firstOnly(c *goldenCase) []goldenRecord { return c.Expected[:1] }

var firstLiteral = regexp.MustCompile(`VALUES \('([^']*)'`)

// published is the plain record of a row that the original loses.
func published(value string) func(*goldenCase) []goldenRecord {
	return func(c *goldenCase) []goldenRecord {
		id := firstLiteral.FindStringSubmatch(c.SQL[0])[1]
		name := "id"
		key := []byte("10711fa5")
		return []goldenRecord{{
			Topic: "outbox.event." + c.Group, Partition: check.Partition(key, 3), KeyB64: encode(key),
			ValueB64: encode([]byte(value)), Headers: [][2]*string{{&name, encode([]byte(id))}},
		}}
	}
}

// at is published with a time.
func at(ms float64) func(*goldenCase) []goldenRecord {
	return func(c *goldenCase) []goldenRecord {
		r := published("{}")(c)
		r[0].Timestamp = ms
		return r
	}
}

// toTopic is published to another topic, on its partition if that is not negative.
func toTopic(topic, value string, partition int32) func(*goldenCase) []goldenRecord {
	return func(c *goldenCase) []goldenRecord {
		r := published(value)(c)
		r[0].Topic = topic
		if partition >= 0 {
			r[0].Partition = partition
		}
		return r
	}
}

// whole is for JSON that the original fails to expand, after it has chosen a schema: the text stays a text, as it
// does where no schema can be chosen.
func whole(text string) func(*goldenCase) []goldenRecord {
	return func(c *goldenCase) []goldenRecord {
		schema := `{"type":"string","optional":true`
		if ddl := c.DDL[len(c.DDL)-1]; strings.Contains(ddl, "payload jsonb") || c.Source == "mysql" && strings.Contains(ddl, "payload JSON") {
			schema += `,"name":"io.debezium.data.Json","version":1`
		}
		value := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		if c.Options.SMT["table.fields.additional.placement"] != "" {
			schema = `{"type":"struct","fields":[` + schema + `,"field":"payload"},{"type":"string","optional":false,"field":"eventType"}],` +
				`"optional":false,"name":"` + c.TopicPrefix + `.public.outbox.` + c.Group + `.Value"`
			value = `{"payload":` + value + `,"eventType":"UserCreated"}`
		}
		if c.Converters.Value == "json_schema" {
			value = `{"schema":` + schema + `},"payload":` + value + `}`
		}
		return published(value)(c)
	}
}

// asBytes is for bytes that Java prints as the name of an object: of the value, or with key of the key.
func asBytes(raw string) func(*goldenCase) []goldenRecord { return published(raw) }

func keyBytes(raw string) func(*goldenCase) []goldenRecord {
	return func(c *goldenCase) []goldenRecord {
		r := published("{}")(c)
		r[0].KeyB64, r[0].Partition = encode([]byte(raw)), check.Partition([]byte(raw), 3)
		return r
	}
}

const runID = "__debezium.context.runId"

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// masked hides the id of a run, which is another one each time.
func masked(h check.Header) check.Header {
	if h.Key == runID && uuid7.Match(h.Value) {
		h.Value = []byte("a UUID of version 7")
	}
	return h
}

const (
	illegal    = "has a character that is none of"
	noColumn   = `has no column "nope"`
	decode     = "transforms=decode"
	version    = "columns.schema-version: column \"version\" is of type"
	objectText = "Java prints the identity of an object"
)

// expectations are the cases in which tailer differs, by name. docs/debezium.md gives the reasons.
var expectations = prefixed("postgres/", map[string]expectation{
	// Bytes where the original writes an object's name, or has no converter.
	"01-payload/pl_string/bytea_json":                  {records: asBytes(`{"a":1}`)},
	"01-payload/pl_string/bytea_zero":                  {records: asBytes("\x00")},
	"01-payload/pl_string/bytea_invalid_utf8":          {records: asBytes("\xc3\x28")},
	"01-payload/pl_string/bytea_utf8":                  {records: asBytes("é😀")},
	"02-converters/cv_text_bytearray/object":           {refused: "bytes is only for columns of bytes"},
	"02-converters/cv_text_bytearray/sql_null":         {refused: "bytes is only for columns of bytes"},
	"02-converters/cv_jsonb_binary_nodelegate/object":  {refused: "bytes is only for columns of bytes"},
	"03-key-id-types/key_string/bytea":                 {records: keyBytes("\x00\xff\x10")},
	"03-key-id-types/key_string/numeric_free":          {refused: objectText},
	"03-key-id-types/key_string/numeric_free_nullable": {refused: objectText},
	"06-additional/ad_env_types_string/values":         {refused: objectText},
	"06-additional/ad_env_types_string/nulls":          {refused: objectText},
	"06-additional/ad_env_bytea_string/row":            {refused: objectText},
	"09-tombstone/tb_true_plain_string/bytea_empty":    {records: asBytes("")},
	"09-tombstone/tb_false_plain_string/bytea_spaces":  {records: asBytes("  ")},

	// Routes that the original fails at.
	"04-routing/rt_field_int/int":                 {records: toTopic("outbox.event.5", "{}", -1)},
	"04-routing/rt_replacement_bare/dotdot":       {poison: "is no topic name", noPrefix: true, alone: true},
	"04-routing/rt_empty_replacement/row":         {lost: "the replacement is empty"},
	"04-routing/rt_escape_dollar/backslash_rules": {lost: "has a character that no topic's name may have"},
	"04-routing/rt_missing_group_named/row":       {lost: `the regex has no group named "nope"`},
	"04-routing/rt_missing_group_number/row":      {lost: "the regex has no group 5"},
	"04-routing/rt_bad_regex/row":                 {lost: "tables: public.outbox: topic: regex:"},
	"04-routing/rt_dotall/newline_no_match":       {poison: illegal},
	"04-routing/rt_default/space":                 {poison: illegal},
	"04-routing/rt_default/slash":                 {poison: illegal},
	"04-routing/rt_default/umlaut":                {poison: illegal},
	"04-routing/rt_default/colon":                 {poison: illegal},
	"04-routing/rt_default/dollar":                {poison: illegal},
	"04-routing/rt_default/backslash":             {poison: illegal},
	"04-routing/rt_default/len_249":               {noPrefix: true, alone: true},
	"04-routing/rt_default/null":                  {poison: "column aggregatetype is NULL"},

	// Columns that are not there: at the start, and not at the first row.
	"05-columns/rn_missing_id/row":                      {refused: noColumn},
	"05-columns/rn_missing_key/row":                     {refused: noColumn},
	"05-columns/rn_missing_payload/row":                 {refused: noColumn},
	"05-columns/rn_missing_schema_version_envelope/row": {refused: noColumn},
	"06-additional/ad_missing_error_header/row":         {refused: noColumn},
	"06-additional/ad_missing_error_envelope/row":       {refused: noColumn},
	"06-additional/ad_missing_ignore_old_name/row":      {refused: noColumn},
	"06-additional/ad_env_dup_alias/row":                {lost: "the name x is there twice"},
	"06-additional/ad_cfg_no_placement/row":             {lost: "table.fields.additional.placement"},
	"06-additional/ad_cfg_bad_place/row":                {lost: "table.fields.additional.placement"},
	"06-additional/ad_partition_bigint/bigint":          {records: toTopic("outbox.event.ad_partition_bigint", `{"a": 1}`, 1)},

	// Times: more types than the original takes, in every mode.
	"07-timestamp/ts_mode_connect/timestamp3":                     {records: at(1553460779123)},
	"07-timestamp/ts_mode_connect/timestamptz":                    {records: at(1553460779000)},
	"07-timestamp/ts_mode_microseconds/timestamptz":               {records: at(1553460779000)},
	"07-timestamp/ts_mode_isostring/timestamp3":                   {records: at(1553460779123)},
	"07-timestamp/ts_mode_isostring/timestamp6":                   {records: at(1553460779123)},
	"07-timestamp/ts_mode_isostring/timestamptz":                  {records: at(1553460779000)},
	"07-timestamp/ts_mode_nanoseconds/timestamptz":                {records: at(1553460779000)},
	"07-timestamp/ts_mode_adaptive_time_microseconds/timestamptz": {records: at(1553460779000)},
	"07-timestamp/ts_bad1/bigint":                                 {records: at(1553460779000)},
	"07-timestamp/ts_bad1/timestamptz_null":                       {records: published("{}")},
	"07-timestamp/ts_bad1/date":                                   {records: at(1553385600000)},
	"07-timestamp/ts_bad1/int":                                    {refused: "columns.timestamp"},
	"07-timestamp/ts_bad2/text_null":                              {records: published("{}")},
	"07-timestamp/ts_bad2/text":                                   {records: at(1553460779000)},
	"07-timestamp/ts_bad2/time":                                   {refused: "columns.timestamp"},

	"08-schema-version/sv_smallint_json_schema/1_v3":    {refused: version},
	"08-schema-version/sv_smallint_json_schema/2_v1":    {refused: version},
	"08-schema-version/sv_smallint_json_schema/3_vNULL": {refused: version},
	"08-schema-version/sv_bigint_json_schema/0_v1":      {refused: version},
	"08-schema-version/sv_bigint_json_schema/1_v3":      {refused: version},
	"08-schema-version/sv_text_json_schema/0_v1":        {refused: version},
	"08-schema-version/sv_text_json_schema/2_v1":        {refused: version},

	// JSON that the original cannot expand after all.
	"10-expand/ex_text_json/above_int64":                    {records: whole(`{"a":9223372036854775808}`)},
	"10-expand/ex_text_json/top_array_int":                  {records: whole(`[1,2]`)},
	"10-expand/ex_text_json/top_array_objects":              {records: whole(`[{"a":1},{"a":2}]`)},
	"10-expand/ex_text_json_schema/array_objects_conflict":  {records: whole(`{"a":[{"x":1},{"x":"s"}]}`)},
	"10-expand/ex_text_json_schema/above_int64":             {records: whole(`{"a":9223372036854775808}`)},
	"10-expand/ex_text_json_schema/top_array_int":           {records: whole(`[1,2]`)},
	"10-expand/ex_text_json_schema/top_array_objects":       {records: whole(`[{"a":1},{"a":2}]`)},
	"10-expand/ex_envelope_json/above_int64":                {records: whole(`{"a":9223372036854775808}`)},
	"10-expand/ex_envelope_json/top_array_int":              {records: whole(`[1,2]`)},
	"10-expand/ex_envelope_json_schema/above_int64":         {records: whole(`{"a":9223372036854775808}`)},
	"10-expand/ex_jsonb_json/above_int64":                   {records: whole(`{"a": 9223372036854775808}`)},
	"10-expand/ex_jsonb_json/top_array_int":                 {records: whole(`[1, 2]`)},
	"10-expand/ex_jsonb_json/top_array_objects":             {records: whole(`[{"a": 1}, {"a": 2}]`)},
	"10-expand/ex_jsonb_json/doubles_finite":                {records: whole(finite)},
	"10-expand/ex_jsonb_json_schema/above_int64":            {records: whole(`{"a": 9223372036854775808}`)},
	"10-expand/ex_jsonb_json_schema/top_array_int":          {records: whole(`[1, 2]`)},
	"10-expand/ex_jsonb_json_schema/array_objects_conflict": {records: whole(`{"a": [{"x": 1}, {"x": "s"}]}`)},
	"10-expand/ex_jsonb_json_schema/doubles_finite":         {records: whole(finite)},
	"10-expand/ex_jsonb_json_schema/doubles": {records: whole(`{"a": 1.50, "b": 1000, "c": 0.0, "d": 1.0, ` +
		`"e": 12345678901234567890.123, "f": 0.0000001, "g": 1` + zeros(400) + `}`)},

	// Rows, and nothing but rows: no updates, no messages of the log, no transactions.
	"11-operations/op_default/update_primary_key":                       {records: firstOnly},
	"11-operations/op_delete_fatal/update_primary_key":                  {records: firstOnly},
	"11-operations/op_unavailable_value/update_untouched_toast":         {records: firstOnly},
	"11-operations/op_tx_metadata/provide_transaction_metadata":         {lost: "provide.transaction.metadata"},
	"11-operations/lm_nodecode_string/message_passes_through":           {records: none},
	"11-operations/lm_decode_nullinclude/payload_null":                  {lost: decode},
	"11-operations/lm_decode_nullinclude/payload_object":                {lost: decode},
	"11-operations/lm_decode_string/transactional":                      {lost: decode},
	"11-operations/lm_decode_string/payload_object":                     {lost: decode},
	"11-operations/lm_decode_string/payload_null":                       {lost: decode},
	"11-operations/lm_decode_string/payload_empty":                      {lost: decode},
	"11-operations/lm_decode_string/rolled_back":                        {lost: decode},
	"11-operations/lm_decode_string/mixed_with_rows":                    {lost: decode},
	"11-operations/lm_decode_string/numeric_id":                         {lost: decode},
	"11-operations/lm_decode_string/not_json":                           {lost: decode},
	"11-operations/lm_decode_string/json_array":                         {lost: decode},
	"11-operations/lm_decode_string/missing_payload":                    {lost: decode},
	"11-operations/lm_decode_json/non_transactional":                    {lost: decode},
	"11-operations/lm_decode_json/payload_null":                         {lost: decode},
	"11-operations/lm_decode_json/rolled_back_non_transactional":        {lost: decode},
	"11-operations/lm_decode_json/numeric_id":                           {lost: decode},
	"11-operations/lm_decode_json/not_json":                             {lost: decode},
	"11-operations/lm_include_list/wanted":                              {lost: decode},
	"11-operations/lm_decode_json_schema/non_transactional":             {lost: decode},
	"11-operations/lm_decode_json_schema/payload_object":                {lost: decode},
	"11-operations/lm_decode_json_schema/rolled_back":                   {lost: decode},
	"11-operations/lm_decode_json_schema/rolled_back_non_transactional": {lost: decode},
	"11-operations/lm_decode_json_schema/mixed_with_rows":               {lost: decode},
	"11-operations/lm_decode_json_schema/numeric_id":                    {lost: decode},
	// A partitioned table publishes its rows, where the original is silent.
	"11-operations/op_part_root_listed_no_flag/into_leaf": {records: func(c *goldenCase) []goldenRecord {
		r := published("{}")(c)
		key := []byte("k")
		r[0].KeyB64, r[0].Partition = encode(key), check.Partition(key, 3)
		return r
	}},
})

// finite is how jsonb stores the numbers of a case: one of them is an integer of more than 64 bits there.
var finite = `{"a": 1.50, "b": 1000, "c": 0.0, "d": 1.0, "e": 12345678901234567890.123, "f": 0.0000001, "g": 1` + zeros(100) +
	`, "h": 0.001, "i": 10000000}`

func zeros(n int) string { return string(bytes.Repeat([]byte{'0'}, n)) }

func prefixed(prefix string, m map[string]expectation) map[string]expectation {
	out := map[string]expectation{}
	for name, e := range m {
		out[prefix+name] = e
	}
	return out
}
