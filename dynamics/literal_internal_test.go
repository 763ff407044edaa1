package dynamics

import (
	"strings"
	"testing"
)

// Values at the bounds of what Dataverse keeps, and one beyond.
func TestLiteralsAtTheirBounds(t *testing.T) {
	const guid = "78914942-34cb-ed11-b596-0022481d68cd"
	for _, c := range []struct {
		kind        ColumnType
		op          Op
		value, want string // "": it is refused
	}{
		{Date, Eq, "1753-01-01", "1753-01-01"}, {Date, Eq, "1752-12-31", ""}, {DateTime, Eq, "1753-01-01", "1753-01-01T00:00:00Z"}, {DateTime, Eq, "1752-12-31", ""},
		{DateTime, Eq, "1753-01-01T00:00:00Z", "1753-01-01T00:00:00Z"}, {DateTime, Eq, "1752-12-31T23:59:59Z", ""}, {DateTime, Eq, "1753-01-01T00:30:00+01:00", ""},
		{DateTime, Eq, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"}, {DateTime, Eq, "9999-12-31T23:59:59-00:01", ""},
		{DateTime, Eq, "2024-01-31T09:30:00.1234567Z", "2024-01-31T09:30:00.1234567Z"}, {DateTime, Eq, "2024-01-31T09:30:00.12345678Z", ""},
		{Integer, Eq, "2147483647", "2147483647"}, {Integer, Eq, "2147483648", ""}, {Integer, Eq, "-2147483648", "-2147483648"}, {Integer, Eq, "-2147483649", ""},
		{BigInt, Eq, "9223372036854775807", "9223372036854775807"}, {BigInt, Eq, "9223372036854775808", ""}, {BigInt, Eq, "5.00", "5"},
		{Money, Eq, strings.Repeat("9", 28), strings.Repeat("9", 28)}, {Money, Eq, strings.Repeat("9", 29), ""}, {Money, Eq, "0." + strings.Repeat("1", 27), "0." + strings.Repeat("1", 27)},
		{Money, Eq, "0." + strings.Repeat("1", 28), ""}, {Decimal, Eq, "1e27", "1" + strings.Repeat("0", 27)}, {Decimal, Eq, "1e28", ""}, {Decimal, Eq, "0", "0"}, {Decimal, Eq, "00", ""}, {Decimal, Eq, "-0.50", "-0.50"},
		{Text, Eq, "50%_[a]", "'50%_[a]'"}, {Text, Contains, "50%_[a]", "'50[%][_][[]a]'"}, {Text, NotContains, "50%_[a]", "'50[%][_][[]a]'"},
		{Text, StartsWith, "%", "'[%]'"}, {Text, EndsWith, "_", "'[_]'"}, {Text, Eq, "O'Brien", "'O''Brien'"},
		{UniqueID, Eq, strings.ToUpper(guid), guid}, {UniqueID, Eq, guid + "0", ""}, {UniqueID, Eq, "7891494-234cb-ed11-b596-0022481d68cd", ""},
		{UniqueID, Eq, "78914942-34c-bed11-b596-0022481d68cd", ""}, {UniqueID, Eq, "78914942-34cb-ed1-1b596-0022481d68cd", ""}, {UniqueID, Eq, "78914942-34cb-ed11-b5960-022481d68cd", ""},
		{UniqueID, Eq, "78914942-34cb-ed11-b596f0022481d68cd", ""}, {UniqueID, Eq, "g8914942-34cb-ed11-b596-0022481d68cd", ""},
	} {
		got, err := literal(c.kind, c.op, c.value)
		if (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%s %s %s: %q, %v; want %q", c.kind, c.op, c.value, got, err, c.want)
		}
	}
	if set, err := choiceSet([]string{"3", "1", "3", "-2"}); err != nil || set != "-2,1,3" {
		t.Errorf("%q, %v", set, err)
	}
}
