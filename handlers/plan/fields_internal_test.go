package plan

import (
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// Types have the words of messages/README.md wherever they are named.
func TestTypesHaveTheContractsWords(t *testing.T) {
	for of, want := range map[dynamics.ColumnType]string{
		dynamics.Text: messages.FieldText, dynamics.Integer: messages.FieldWholeNumber,
		dynamics.BigInt:  messages.FieldWholeNumber,
		dynamics.Decimal: messages.FieldDecimal, dynamics.Double: messages.FieldDecimal, dynamics.Money: messages.FieldMoney,
		dynamics.DateTime: messages.FieldDateTime, dynamics.Date: messages.FieldDate, dynamics.Boolean: messages.FieldYesNo,
		dynamics.Choice: messages.FieldChoice, dynamics.Choices: messages.FieldChoices, dynamics.UniqueID: messages.FieldGUID,
		dynamics.Lookup: messages.FieldLookup,
	} {
		if got := of.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
