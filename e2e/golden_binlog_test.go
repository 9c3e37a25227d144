package e2e

import (
	"maps"
	"regexp"
	"strings"
)

// What differs on purpose on MySQL and MariaDB, see golden_expect_test.go; docs/debezium.md gives the reasons.

func init() {
	maps.Copy(expectations, prefixed("mysql/", mysqlExpectations))
	maps.Copy(expectations, prefixed("mariadb/", mariadbExpectations))
}

// altered is what was recorded, with other texts in the values and in the headers: pairs of the one and the other.
func altered(pairs ...string) func(*goldenCase) []goldenRecord {
	replace := func(s *string) *string {
		if s == nil {
			return nil
		}
		return encode([]byte(strings.NewReplacer(pairs...).Replace(string(decoded(s)))))
	}
	return func(c *goldenCase) []goldenRecord {
		var all []goldenRecord
		for _, r := range c.Expected {
			r.ValueB64 = replace(r.ValueB64)
			headers := r.Headers
			r.Headers = nil
			for _, h := range headers {
				r.Headers = append(r.Headers, [2]*string{h[0], replace(h[1])})
			}
			all = append(all, r)
		}
		return all
	}
}

// readable leaves the columns out that tailer refuses to read, so that the others can be compared.
func (c goldenCase) readable() goldenCase {
	last := len(c.DDL) - 1
	if last < 0 || !strings.Contains(c.DDL[last], unreadableColumns) {
		return c
	}
	c.DDL = append(append([]string(nil), c.DDL[:last]...), strings.Replace(c.DDL[last], unreadableColumns, "", 1))
	var statements []string
	for _, s := range c.SQL {
		s = strings.Replace(s, ", c_latin1, c_point", "", 1)
		if !strings.Contains(s, unreadableValues) {
			s = strings.Replace(s, ", NULL, NULL", "", 1)
		}
		statements = append(statements, strings.Replace(s, unreadableValues, "", 1))
	}
	c.SQL = statements
	const placement = "table.fields.additional.placement"
	c.Options.SMT = maps.Clone(c.Options.SMT)
	c.Options.SMT[placement] = regexp.MustCompile(`,c_(latin1|point):[a-z]+`).ReplaceAllString(c.Options.SMT[placement], "")
	var records []goldenRecord
	for _, r := range c.Expected {
		value := unreadableField.ReplaceAll(decoded(r.ValueB64), nil)
		r.ValueB64 = encode(value)
		headers := r.Headers
		r.Headers = nil
		for _, h := range headers {
			if *h[0] != "c_latin1" && *h[0] != "c_point" {
				r.Headers = append(r.Headers, h)
			}
		}
		records = append(records, r)
	}
	c.Expected, c.partial = records, true
	return c
}

const (
	unreadableColumns = ", c_latin1 VARCHAR(10) CHARACTER SET latin1, c_point POINT"
	unreadableValues  = `, 'é', ST_GeomFromText('POINT(1 2)')`
)

// unreadableField is such a column in JSON: its schema, and its value.
var unreadableField = regexp.MustCompile(`,\{"type":"string","optional":true,"field":"c_latin1"\},\{"type":"struct".*?"field":"c_point"\}` +
	`|,"c_latin1":(?:null|"é"),"c_point":(?:null|\{.*?\})`)

// latin1 is refused: the log holds the bytes of the character set.
var latin1 = expectation{refused: "is in latin1: the log holds the bytes of that character set", status: 3}

// myisam is refused: what is rolled back stays.
var myisam = expectation{refused: "which knows no transactions", status: 3}

// sixDigits is a FLOAT as the server shows it.
var sixDigits = expectation{records: altered("1.6777216E7", "1.67772E7")}

// sqlTimes are dates and times inside of JSON, which stay as the server writes them.
var sqlTimes = expectation{records: altered("12:34:56.5", "12:34:56.500000", "12:34:56.789", "12:34:56.789000")}

var negativeTime = expectation{records: altered("02:0-3:0-4.00000-4", "-01:02:03.000004")}

// ownTable is a schema's name that holds the row's table, where the original has that of another one.
var ownTable = expectation{records: altered("outbox_json.md_tb", "outbox_longtext.md_tb")}

// streamed is how the log's form of JSON is, where the original's snapshot has the server's own.
var streamed = expectation{records: altered(
	`{"a": [1, 2, 3], "b": 1}`, `{"a":[1,2,3],"b":1}`,
	`{"a": 1.5, "b": 0.1, "d": 1000.0, "e": 0.0000001, "f": 100, "g": 1.0}`,
	`{"a":1.5,"b":0.1,"d":1000.0,"e":0.0000000999999999999999954748111825886258685613938723690807819366455078125,"f":100,"g":1.0}`,
	`{"s": `, `{"s":`,
	`{"n": null, "o": {"x": []}, "t": true}`, `{"n":null,"o":{"x":[]},"t":true}`,
)}

const rawUUID = "\xda\x8dm\xe6;wE\xff\x8fDW\xdbU\xa7\xa0l"

// finiteBinlog is how the log's form has the numbers of a case; one is an integer of more than 64 bits there.
const finiteBinlog = `{"a":1.5,"b":1000.0,"c":-0.0,"d":1.0,"e":12345678901234567168,` +
	`"f":0.0000000999999999999999954748111825886258685613938723690807819366455078125,` +
	`"g":10000000000000000159028911097599180468360808563945281389781327557747838772170381060813469985856815104,"h":0.001,"i":10000000}`

var mysqlExpectations = map[string]expectation{
	"01-payload/my_pl_string/longblob_json":                     {records: asBytes(`{"a":1}`)},
	"01-payload/my_pl_string/longblob_utf8":                     {records: asBytes("é😀")},
	"01-payload/my_pl_string/longblob_avro_like":                {records: asBytes("\x00\x00\x00\x00\x01\nhello")},
	"01-payload/my_pl_string/varbinary_empty":                   {records: asBytes("")},
	"01-payload/my_pl_string/varbinary_json":                    {records: asBytes(`{"a":1}`)},
	"01-payload/my_pl_string/varbinary_zero":                    {records: asBytes("\x00")},
	"01-payload/my_pl_string/varbinary_utf8":                    {records: asBytes("é😀")},
	"01-payload/my_pl_string/varbinary_spaces":                  {records: asBytes("  ")},
	"01-payload/my_pl_string/binary8_empty":                     {records: asBytes("\x00\x00\x00\x00\x00\x00\x00\x00")},
	"01-payload/my_pl_string/binary8_json":                      {records: asBytes("{\"a\":1}\x00")},
	"01-payload/my_pl_string/binary8_zero":                      {records: asBytes("\x00\x00\x00\x00\x00\x00\x00\x00")},
	"01-payload/my_pl_string/binary8_binary":                    {records: asBytes("\x00\xff\x80\x7f\n\r\"\x00")},
	"01-payload/my_pl_string/binary8_invalid_utf8":              {records: asBytes("\xc3(\x00\x00\x00\x00\x00\x00")},
	"01-payload/my_pl_string/binary8_utf8":                      {records: asBytes("é😀\x00\x00")},
	"01-payload/my_pl_string/latin1_accent":                     latin1,
	"01-payload/my_pl_string/latin1_object":                     latin1,
	"01-payload/my_pl_string/latin1_space":                      latin1,
	"01-payload/my_pl_string/latin1_euro":                       latin1,
	"01-payload/my_pl_string/latin1_sql_null":                   latin1,
	"01-payload/my_pl_json/latin1_accent":                       latin1,
	"01-payload/my_pl_json/latin1_space":                        latin1,
	"01-payload/my_pl_json/latin1_euro":                         latin1,
	"01-payload/my_pl_json_schema/latin1_accent":                latin1,
	"01-payload/my_pl_json_schema/latin1_object":                latin1,
	"01-payload/my_pl_json_schema/latin1_empty":                 latin1,
	"01-payload/my_pl_json_schema/latin1_euro":                  latin1,
	"01-payload/my_pl_json_schema/latin1_sql_null":              latin1,
	"01-payload/my_pl_string/json_sql_date":                     sqlTimes,
	"01-payload/my_pl_json_schema/json_sql_date":                sqlTimes,
	"01-payload/my_pl_string/json_sql_time_neg":                 negativeTime,
	"01-payload/my_pl_json/json_sql_time_neg":                   negativeTime,
	"01-payload/my_pl_json_schema/json_sql_time_neg":            negativeTime,
	"03-key-id-types/my_key_string/binary16":                    {records: keyBytes(rawUUID)},
	"03-key-id-types/my_key_string/binary16_nullable":           {records: keyBytes(rawUUID)},
	"03-key-id-types/my_key_string/binary16_short":              {records: keyBytes("a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
	"03-key-id-types/my_key_string/varbinary":                   {records: keyBytes("\x00\xff\x10")},
	"03-key-id-types/my_key_string/blob":                        {records: keyBytes("\x00\xff\x10")},
	"03-key-id-types/my_key_string/bit8":                        {refused: objectText},
	"06-additional/my_ad_header_types/values":                   sixDigits,
	"06-additional/my_ad_env_types_json/values":                 sixDigits,
	"06-additional/my_ad_env_types_string/nulls":                {refused: objectText},
	"06-additional/my_ad_partition_tinyint/tinyint":             {records: toTopic("outbox.event.my_ad_partition_tinyint", "{}", 1)},
	"06-additional/my_ad_partition_int_unsigned/int_unsigned":   {records: toTopic("outbox.event.my_ad_partition_int_unsigned", "{}", 1)},
	"07-timestamp/my_ts_mode_adaptive/datetime6":                {lost: "time.precision.mode=adaptive"},
	"07-timestamp/my_ts_mode_connect/datetime6":                 {records: at(1553460779123)},
	"07-timestamp/my_ts_mode_connect/timestamp6":                {records: at(1553460779123)},
	"07-timestamp/my_ts_bad/timestamp6_null":                    {records: published("{}")},
	"07-timestamp/my_ts_bad/timestamp6":                         {records: at(1553460779123)},
	"07-timestamp/my_ts_bad/timestamp_null":                     {records: published("{}")},
	"07-timestamp/my_ts_bad/date_null":                          {records: published("{}")},
	"07-timestamp/my_ts_bad/date":                               {records: at(1553385600000)},
	"09-tombstone/my_tb_true_plain_string/longblob_spaces":      {records: asBytes("  ")},
	"10-expand/my_ex_longtext_json/top_array_int":               {records: whole(`[1,2]`)},
	"10-expand/my_ex_json_json/doubles_finite":                  {records: whole(finiteBinlog)},
	"10-expand/my_ex_json_json/top_array_objects":               {records: whole(`[{"a":1},{"a":2}]`)},
	"10-expand/my_ex_json_json_schema/doubles_finite":           {records: whole(finiteBinlog)},
	"10-expand/my_ex_json_json_schema/top_array_int":            {records: whole(`[1,2]`)},
	"10-expand/my_ex_longtext_json_schema/top_array_objects":    {records: whole(`[{"a":1},{"a":2}]`)},
	"11-operations/my_op_myisam_style/non_transactional_engine": myisam,
	"11-operations/my_op_snapshot_initial/existing_rows":        streamed,
	"11-operations/my_op_default/insert_select": {before: []string{
		"INSERT INTO outbox VALUES ('da8d6de6-3b77-45ff-8f44-000000000133', 'my_op_default', '10711fa5', 'UserCreated', '{\"r\":2}')"}},
	"11-operations/my_op_default/update_primary_key": {records: firstOnly},
}

var mariadbExpectations = map[string]expectation{
	"01-payload/md_pl_string/longblob_empty":                               {records: asBytes("")},
	"01-payload/md_pl_string/longblob_json":                                {records: asBytes(`{"a":1}`)},
	"01-payload/md_pl_string/longblob_zero":                                {records: asBytes("\x00")},
	"01-payload/md_pl_string/longblob_binary":                              {records: asBytes("\x00\xff\x80\x7f\n\r\"")},
	"01-payload/md_pl_string/longblob_avro_like":                           {records: asBytes("\x00\x00\x00\x00\x01\nhello")},
	"01-payload/md_pl_string/varbinary_empty":                              {records: asBytes("")},
	"01-payload/md_pl_string/varbinary_json":                               {records: asBytes(`{"a":1}`)},
	"01-payload/md_pl_string/varbinary_invalid_utf8":                       {records: asBytes("\xc3(")},
	"01-payload/md_pl_string/varbinary_utf8":                               {records: asBytes("é😀")},
	"01-payload/md_pl_string/varbinary_spaces":                             {records: asBytes("  ")},
	"01-payload/md_pl_string/binary8_empty":                                {records: asBytes("\x00\x00\x00\x00\x00\x00\x00\x00")},
	"01-payload/md_pl_string/binary8_json":                                 {records: asBytes("{\"a\":1}\x00")},
	"01-payload/md_pl_string/binary8_zero":                                 {records: asBytes("\x00\x00\x00\x00\x00\x00\x00\x00")},
	"01-payload/md_pl_string/binary8_invalid_utf8":                         {records: asBytes("\xc3(\x00\x00\x00\x00\x00\x00")},
	"01-payload/md_pl_string/binary8_utf8":                                 {records: asBytes("é😀\x00\x00")},
	"01-payload/md_pl_string/latin1_object":                                latin1,
	"01-payload/md_pl_string/latin1_empty":                                 latin1,
	"01-payload/md_pl_string/latin1_space":                                 latin1,
	"01-payload/md_pl_string/latin1_euro":                                  latin1,
	"01-payload/md_pl_string/latin1_sql_null":                              latin1,
	"01-payload/md_pl_json/latin1_accent":                                  latin1,
	"01-payload/md_pl_json/latin1_object":                                  latin1,
	"01-payload/md_pl_json/latin1_empty":                                   latin1,
	"01-payload/md_pl_json/latin1_space":                                   latin1,
	"01-payload/md_pl_json/latin1_sql_null":                                latin1,
	"01-payload/md_pl_json_schema/latin1_accent":                           latin1,
	"01-payload/md_pl_json_schema/latin1_object":                           latin1,
	"01-payload/md_pl_json_schema/latin1_space":                            latin1,
	"01-payload/md_pl_json_schema/latin1_euro":                             latin1,
	"01-payload/md_pl_json_schema/latin1_sql_null":                         latin1,
	"03-key-id-types/md_key_string/binary16":                               {records: keyBytes(rawUUID)},
	"03-key-id-types/md_key_string/binary16_nullable":                      {records: keyBytes(rawUUID)},
	"03-key-id-types/md_key_string/binary16_short":                         {records: keyBytes("a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
	"03-key-id-types/md_key_string/blob":                                   {records: keyBytes("\x00\xff\x10")},
	"03-key-id-types/md_key_string/bit8":                                   {refused: objectText},
	"05-columns/md_rn_upper_case_columns/row":                              {records: published("{}")},
	"06-additional/md_ad_env_types_string/values":                          {refused: objectText},
	"06-additional/md_ad_partition_bigint/bigint":                          {records: toTopic("outbox.event.md_ad_partition_bigint", "{}", 1)},
	"07-timestamp/md_ts_bad/timestamp6":                                    {records: at(1553460779123)},
	"07-timestamp/md_ts_bad/timestamp_null":                                {records: published("{}")},
	"07-timestamp/md_ts_bad/timestamp":                                     {records: at(1553460779000)},
	"07-timestamp/md_ts_bad/date_null":                                     {records: published("{}")},
	"09-tombstone/md_tb_true_plain_string/longblob_spaces":                 {records: asBytes("  ")},
	"09-tombstone/md_tb_false_plain_string/longblob_empty":                 {records: asBytes("")},
	"09-tombstone/md_tb_false_plain_string/longblob_spaces":                {records: asBytes("  ")},
	"09-tombstone/md_tb_true_envelope_json_schema/longtext_empty_object":   ownTable,
	"09-tombstone/md_tb_false_envelope_json_schema/longtext_empty":         ownTable,
	"09-tombstone/md_tb_false_envelope_json_schema/longtext_space":         ownTable,
	"09-tombstone/md_tb_false_envelope_json_schema/longtext_tabs_newlines": ownTable,
	"09-tombstone/md_tb_false_envelope_json_schema/longtext_null":          ownTable,
	"10-expand/md_ex_longtext_json/array_objects_conflict":                 {records: whole(`{"a":[{"x":1},{"x":"s"}]}`)},
	"10-expand/md_ex_longtext_json/top_array_int":                          {records: whole(`[1,2]`)},
	"10-expand/md_ex_json_json/array_objects_conflict":                     {records: whole(`{"a":[{"x":1},{"x":"s"}]}`)},
	"10-expand/md_ex_json_json/top_array_int":                              {records: whole(`[1,2]`)},
	"10-expand/md_ex_json_json/top_array_objects":                          {records: whole(`[{"a":1},{"a":2}]`)},
	"10-expand/md_ex_longtext_json_schema/array_objects_conflict":          {records: whole(`{"a":[{"x":1},{"x":"s"}]}`)},
	"10-expand/md_ex_longtext_json_schema/top_array_int":                   {records: whole(`[1,2]`)},
	"10-expand/md_ex_longtext_json_schema/top_array_objects":               {records: whole(`[{"a":1},{"a":2}]`)},
	"10-expand/md_ex_json_json_schema/array_objects_conflict":              {records: whole(`{"a":[{"x":1},{"x":"s"}]}`)},
	"10-expand/md_ex_json_json_schema/above_int64":                         {records: whole(`{"a":9223372036854775808}`)},
	"10-expand/md_ex_json_json_schema/top_array_int":                       {records: whole(`[1,2]`)},
	"10-expand/md_ex_json_json_schema/top_array_objects":                   {records: whole(`[{"a":1},{"a":2}]`)},
	"11-operations/md_op_default/drop_column_midstream":                    {before: []string{"ALTER TABLE outbox ADD COLUMN extra INT DEFAULT 5"}},
	"11-operations/md_op_myisam_style/non_transactional_engine":            myisam,
	"11-operations/md_op_inet6_captured/column_in_outbox":                  {records: published("{}")},
}
