package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// choicesWith is metadata of some choices with as many options each, labelled
// "option <n>", in the form of a column's own set.
func choicesWith(names []string, options int) []byte {
	var b strings.Builder
	b.WriteString(`{"@odata.context":"x","value":[`)
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"LogicalName":%q,"OptionSet":{"Options":[`, name)
		for n := range options {
			if n > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Value":%d,"Label":{"LocalizedLabels":[],"UserLocalizedLabel":{"Label":"option %d of %d","LanguageCode":1033}}}`, n, n, options)
		}
		b.WriteString(`]}}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// TestManyOptionsAreReadOnceForARequest: a small MEMORY_BUDGET, columns with more
// options than are kept between requests, many requests at once, and one that names
// hundreds of labels. All are answered in time, and each reads the metadata once.
func TestManyOptionsAreReadOnceForARequest(t *testing.T) {
	bridgetest.Long(t, "it fills the memory of a process")
	h := newHungry(t, false, 8)
	p := h.serve(t, false, "64MiB")
	var reads atomic.Int64
	large := choicesWith([]string{"industrycode", "accountcategorycode", "customertypecode", "accountclassificationcode"}, 9000)
	answer := func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		_, _ = w.Write(large)
	}
	const requests = 32
	if codes := h.eat(t, meal{messages.Accounts.Operation(messages.VerbFields), `{}`, requests, requests, answer}, messages.MaxDeadline); codes["ok"] < requests/8 || codes["ok"]+codes["overloaded"] != requests {
		t.Errorf("accounts.fields: %v, want none that ends with its deadline", codes)
	}
	if n := reads.Load(); n > requests {
		t.Errorf("%d requests read the options %d times", requests, n)
	}
	labels := make([]string, 400)
	for i := range labels {
		labels[i] = fmt.Sprintf(`"option %d of 9000"`, i)
	}
	page := rowsOf(h.environment, 3, 100)
	in := `{"fields":["id","name"],"where":{"field":"industry","op":"in","value":[` + strings.Join(labels, ",") + `]}}`
	reads.Store(0)
	codes := h.eat(t, meal{messages.Accounts.Operation(messages.VerbSearch), in, 8, 8, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/accounts") {
			_, _ = w.Write(page)
			return
		}
		answer(w, r)
	}}, messages.MaxDeadline)
	if codes["ok"] != 8 {
		t.Errorf("labels: %v", codes)
	}
	if n := reads.Load(); n > 8 {
		t.Errorf("8 requests read the options %d times", n)
	}
	if most := peak(t, p.Process.Pid); most>>10 > 64+80 && !raceDetector {
		t.Errorf("the peak is %d MiB", most>>10)
	}
}
