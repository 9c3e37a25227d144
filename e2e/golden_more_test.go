package e2e

import "maps"

// unexpandable is JSON that the original cannot expand after it has chosen a schema.
var unexpandable = map[string]string{
	"arr_arr_mixed":  `{"a":[[1],["s"]]}`,
	"bigint_over":    `{"a":-9223372036854775809}`,
	"top_arr_str":    `["a","b"]`,
	"top_arr_nested": `[[1]]`,
	"top_arr_bool":   `[true,false]`,
	"top_arr_dbl":    `[1.5,2.5]`,
	"objs_int_long":  `{"a":[{"x":1},{"x":3000000000}]}`,
	"objs_int_dbl":   `{"a":[{"x":1},{"x":1.5}]}`,
	"arr_big":        `{"a":[9223372036854775808]}`,
}

// The differences in the cases of 13-own-*.json, which TestRecordGolden recorded.
func init() {
	for name, text := range unexpandable {
		expectations["postgres/16-expand/pxp_text_json_schema/"+name] = expectation{records: whole(text)}
		expectations["mysql/16-expand/mxp_longtext_json_schema/"+name] = expectation{records: whole(text)}
	}
	// Java 17 adds a digit now and then.
	digits := expectation{records: altered("1.9999999999999998E23", "2.0E23", "1.17549435E-38", "1.1754944E-38")}
	dimensions := expectation{poison: "is no array of one dimension"}
	beyond := expectation{records: altered(`é,?`, `é,\uD83D\uDE00`, `C3A9F09F988`, `é?`, `"c_e":"?"`, `"c_e":"\uD83D\uDE00"`)}
	sixDigits := expectation{records: altered(`["2024-02-29 12:34:56"]`, `["2024-02-29 12:34:56.000000"]`,
		`[\"2024-02-29 12:34:56\"]`, `[\"2024-02-29 12:34:56.000000\"]`)}
	maps.Copy(expectations, map[string]expectation{
		"postgres/13-types/pty_header_simple/f8_18":      digits,
		"postgres/13-types/pty_header_simple/f4_10":      digits,
		"postgres/13-types/pty_header_json_schema/f8_18": digits,
		"postgres/13-types/pty_header_json_schema/f4_10": digits,
		"postgres/13-types/pty_header_simple/a2d_0":      dimensions,
		"postgres/13-types/pty_header_json_schema/a2d_0": dimensions,
		"postgres/13-types/pt_domain_over_enum/row":      {records: published(`{"a": 1}`)},
		"mysql/13-types/mty_beyond/row":                  beyond,
		"mariadb/13-types/dty_beyond/row":                beyond,
		"mysql/13-types/mty_header_simple/jst_0":         sixDigits,
		"mysql/13-types/mty_header_json_schema/jst_0":    sixDigits,
		// Expressions that Go's engine has no equivalent of.
		"postgres/15-router/prx_class/v0": {lost: "& inside of [...]"},
		"postgres/15-router/prx_union/v0": {lost: "[ inside of [...]"},
		"postgres/15-router/prx_caseU/v0": {lost: "invalid or unsupported Perl syntax: `(?iu`"},
	})
}
