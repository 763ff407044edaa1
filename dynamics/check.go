package dynamics

// Check reports what is wrong with a filter, as the query that holds it would:
// an [*Error] of kind Invalid that names the column and what would be right.
func Check(f Filter) error {
	_, _, err := fit(f, func(filter string) string { return filter })
	return err
}
