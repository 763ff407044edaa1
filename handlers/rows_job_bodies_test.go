package handlers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Jobs beside each other, whose bodies are large enough to be kept and used again, deliver
// each row once and as it is.
func TestJobsThatUseBodiesAgain(t *testing.T) {
	e := emulate(t, -1).connect(t)
	names := map[string]string{}
	var ids []string
	random := rand.New(rand.NewPCG(41, 42))
	for i := range 1500 {
		name := fmt.Sprintf("%d %s", i, strings.Repeat(string(rune('a'+i%26)), 2000+random.IntN(1000)))
		id := e.control.PutAccount(emulator.Account{Name: name})
		names[id], ids = name, append(ids, id)
	}
	var jobs sync.WaitGroup
	for n := range 6 {
		in := messages.SearchRequest{PageSize: messages.Count(250 + 50*n), Fields: []string{"id", "name"}}
		l := newLane(t, e.operations, "accounts.search", in)
		l.call.Job.Sequential = n%2 == 0
		if n >= 4 {
			l.call.Job.Encode = encoder(t)
		}
		jobs.Go(func() {
			if err := l.execute(t, never, 0); err != nil {
				t.Error(err)
			}
			got := 0
			for _, r := range l.stored {
				for _, row := range r.Accounts {
					if got++; names[row.Text("id")] != row.Text("name") {
						t.Errorf("row %s has the name %.40s", row.Text("id"), row.Text("name"))
					}
				}
			}
			if got != len(ids) {
				t.Errorf("%d rows of %d", got, len(ids))
			}
		})
	}
	jobs.Wait()
}

// A body has the room that was asked for, and its account holds all of it until it is dropped.
func TestBodiesAreCounted(t *testing.T) {
	memory, err := budget.New(budget.Bounds{Bytes: 64 << 20, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	account, err := memory.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer account.Close()
	ctx := budget.With(t.Context(), account)
	for range 2 { // the second time they are there
		for _, size := range []int{0, 1, leastBody - 1, leastBody, bodyUnit - 1, bodyUnit, bodyUnit + 1, 3*bodyUnit - 7,
			bodyUnits * bodyUnit, bodyUnits*bodyUnit + 1} {
			body, err := takeJobBody(ctx, size)
			if err != nil || len(body) != 0 || cap(body) < size || cap(body) > size+bodyUnit {
				t.Fatalf("%d bytes of %d: %v", cap(body), size, err)
			}
			if held := memory.Usage().Used; held != int64(cap(body)) {
				t.Errorf("%d bytes are counted of %d", held, cap(body))
			}
			dropBody(ctx, body)
			if held := memory.Usage().Used; held != 0 {
				t.Errorf("%d bytes are counted of none", held)
			}
		}
	}
	parts := []route.Part{{Body: make([]byte, 1, bodyUnit)}, {Body: make([]byte, bodyUnit), Encoded: true}}
	if giveParts(parts); parts[0].Body != nil || parts[1].Body != nil {
		t.Error("a part has its body still")
	}
}
