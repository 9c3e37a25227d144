package connect

import "testing"

// An amount of another locale is refused, and not taken for another number.
func TestAmounts(t *testing.T) {
	for text, want := range map[string]string{
		"$0.05": "0.05", "-$1,234,567.00": "-1234567.00", "$12.34": "12.34",
		"£1,234.50": "", "1,234.50": "", "-1.234,50 €": "", "￥1,234": "", "$1,234": "", "$1.234": "", "$1,23.00": "", "$1234.50": "",
		"$,123.00": "", "($1.00)": "", "$-1.00": "", "$.50": "", "$1.5x": "", "": "",
	} {
		got, err := appendAmount(nil, []byte(text))
		if want == "" && err == nil || want != "" && (err != nil || string(got) != want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}
