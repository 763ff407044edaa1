package handlers

import (
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// BenchmarkExport is how much sooner a parallel export is done than one in sequence, of 60
// pages of 5000 rows that take 300 ms each, by how the rows' times of creation lie. The figure to look
// at is the ratio. It needs a quiet machine: the emulator works on the same cores.
//
//	go test ./handlers -run '^$' -bench BenchmarkExport -benchtime 1x -timeout 30m
func BenchmarkExport(b *testing.B) {
	from := time.Date(2022, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, created := range map[string][]emulator.Created{
		"evenly":            {{Percent: 100, From: from.AddDate(-4, 0, 0), Span: 8 * 365 * 24 * time.Hour}},
		"70% in one hour":   {{Percent: 70, From: from, Span: time.Hour}},
		"30% in one second": {{Percent: 30, From: from, Span: time.Second}},
	} {
		for hint, title := range map[int]string{4: "hint 4", 8: "hint 8"} {
			b.Run(name+"/"+title, func(b *testing.B) {
				const rows, wait = 300_000, 300 * time.Millisecond
				e := emulateTables(b, emulator.Options{Accounts: rows, Contacts: -1, Created: created},
					messages.Accounts).connect(b)
				e.operations.UserCalls = 40
				e.control.SetParallelHint(hint)
				e.control.Table("accounts").SetRecordCount(rows)
				took := func(sequential bool) (time.Duration, int64) {
					e.control.Clear()
					e.control.Fail(emulator.Fault{Where: emulator.FaultData, Route: "accounts", Times: -1, Delay: wait})
					l := newLane(b, e.operations, "accounts.search", messages.SearchRequest{PageSize: 5000})
					l.call.Job.Sequential, l.call.Job.Encode = sequential, encoder(b)
					l.counts = true
					begun := time.Now()
					l.once(b)
					if l.rows != rows {
						b.Fatalf("%d rows", l.rows)
					}
					return time.Since(begun), l.taken.Load()
				}
				for b.Loop() {
					alone, _ := took(true)
					together, pages := took(false)
					b.ReportMetric(float64(alone)/float64(together), "times-as-fast")
					b.ReportMetric(alone.Seconds(), "sequential-s")
					b.ReportMetric(together.Seconds(), "parallel-s")
					b.ReportMetric(float64(pages), "pages")
				}
			})
		}
	}
}
