package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

func TestCells(t *testing.T) {
	row := messages.Row{"revenue": jsontext.Value(`14953730000.0000`), "revenue_base": jsontext.Value(`1.23450`),
		"currency": jsontext.Value(`{"id":"1","name":"US Dollar","entity":"transactioncurrency"}`),
		"name":     jsontext.Value(`"7.5000"`), "created_at": jsontext.Value(`"2026-01-02T03:04:05Z"`),
		"employees": jsontext.Value(`250`), "modified_at": jsontext.Value(`null`)}
	fields := []string{"revenue", "revenue_base", "name", "created_at", "employees", "modified_at", "absent"}
	of := ofTable{messages.Accounts}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Local().Format("2006-01-02 15:04:05")
	want := []string{"14953730000.00\u00a0US\u00a0Dollar", "1.2345", "7.5000", at, "250", "", ""}
	if got := of.cells(shown{}, fields, []messages.Row{row}); !slices.Equal(got[0], want) {
		t.Errorf("%q, want %q", got[0], want)
	}
	if got := of.cells(shown{UTC: true}, []string{"created_at", "createdon"}, []messages.Row{row}); got[0][0] !=
		"2026-01-02T03:04:05Z" || got[0][1] != "" {
		t.Errorf("%q", got[0])
	}
	row["currency"] = jsontext.Value(`null`)
	if got := of.cell(shown{}, row, "revenue", messages.FieldMoney); got != "14953730000.00" {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]string{"1": "1", "1.5": "1.5", "-1.00": "-1.00", "1.0001": "1.0001", "1E400": "1E400",
		"0.1000": "0.10"} {
		if got := term.Cents(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Times are those of this machine's zone, and with --utc those of the wire.
func TestTimesOfConnections(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	for utc, want := range map[bool]string{false: "2026-01-02 03:04:05", true: created.UTC().Format(time.RFC3339)} {
		var out bytes.Buffer
		std := newStdio(&out, &out)
		std.utc = utc
		if err := showConnections(std, []messages.Connection{{ID: "acme", Status: messages.StatusPending,
			EnvironmentURL: "https://contoso.crm4.dynamics.com", Grant: messages.GrantAuthorizationCode,
			Tables: []string{"accounts", "contacts"}, CreatedAt: created}}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		got := strings.Join(strings.Fields(lines[len(lines)-1]), " ")
		if got != "acme pending https://contoso.crm4.dynamics.com authorization_code accounts, contacts "+want {
			t.Errorf("--utc %t: %q", utc, got)
		}
	}
}
