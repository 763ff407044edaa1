package dynamics

import "context"

// RecordCount returns how many rows of t Dataverse counted, of all users and at most a
// day ago. It may be far from the truth: 0 where the environment never counted, and what
// was added or deleted since is not in it ("RetrieveTotalRecordCount Function",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrievetotalrecordcount).
// An answer without a count of t, or with a negative one, is Upstream.
func (s *Session) RecordCount(ctx context.Context, t Table) (int64, error) {
	var count int64
	r := request{op: t.op("recordcount"), most: maxSmallBody, read: func(b *body) (err error) {
		count, err = readRecordCount(b, t)
		return err
	}}
	names := encode(`["` + t.Logical + `"]`) // letters, digits and underscores; see Table.check
	err := s.getOf(ctx, t, r, "RetrieveTotalRecordCount(EntityNames=@p1)", "@p1="+names)
	return count, err
}

// readRecordCount reads {"EntityRecordCountCollection":{"Count":1,…,"Keys":["account"],"Values":[N]}}.
func readRecordCount(b *body, t Table) (int64, error) {
	var answer struct {
		Counts *struct {
			Keys   []string
			Values []*int64
		} `json:"EntityRecordCountCollection"`
	}
	if err := into(&answer)(b); err != nil {
		return 0, err
	}
	if c := answer.Counts; c != nil && len(c.Keys) == 1 && len(c.Values) == 1 && c.Keys[0] == t.Logical &&
		c.Values[0] != nil && *c.Values[0] >= 0 {
		return *c.Values[0], nil
	}
	return 0, pageFault("the answer does not say how many rows the table has")
}
