package term

import "strings"

// Cents cuts zeros behind the second decimal; other digits stay: people see what is there.
func Cents(number string) string {
	whole, decimals, ok := strings.Cut(number, ".")
	if !ok || len(decimals) <= 2 || strings.ContainsAny(number, "eE") {
		return number
	}
	return whole + "." + decimals[:2] + strings.TrimRight(decimals[2:], "0")
}
