package handlers

import (
	"context"
	"errors"
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
		// A filter of its own keeps each job's pages apart: each lane counts memory by itself, and what
		// calls share is one budget's.
		all := messages.Leaf("name", messages.Ne, fmt.Sprint("not of job ", n))
		in := messages.SearchRequest{PageSize: messages.Count(250 + 50*n), Fields: []string{"id", "name"}, Where: &all}
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
	memory, ctx := accounted(t)
	const kib, mib = 1 << 10, 1 << 20
	for range 2 { // the second time they are there
		for _, size := range []int{0, 1, 4 * kib, 4*kib + 1, mib/2 - 1, mib / 2, mib - 1, mib, mib + 1, 3*mib - 7, 8 * mib,
			8*mib + 1} {
			body, err := takeBody(ctx, size)
			if err != nil || len(body) != 0 || cap(body) < size || cap(body) > max(4*kib, min(2*size, size+mib)) {
				t.Fatalf("%d bytes of %d: %v", cap(body), size, err)
			}
			if held := memory.Usage().Used; held != int64(cap(body)) {
				t.Errorf("%d bytes are counted of %d", held, cap(body))
			}
			dropBody(ctx, append(body, "somebody's"...))
			if held := memory.Usage().Used; held != 0 {
				t.Errorf("%d bytes are counted of none", held)
			}
		}
	}
	parts := []route.Part{{Body: make([]byte, 1, mib)}, {Body: make([]byte, mib), Encoded: true}}
	if giveParts(parts); parts[0].Body != nil || parts[1].Body != nil {
		t.Error("a part has its body still")
	}
}

// A page that takes too many parts is read again in fewer rows: of the first attempt nothing
// is counted any more.
func TestPartsThatAreDroppedCountNoMore(t *testing.T) {
	for name, encode := range map[string]func([]byte) ([]byte, error){
		"plain":      nil,
		"compressed": func(body []byte) ([]byte, error) { return body[:len(body)/2], nil },
	} {
		memory, ctx := accounted(t)
		rows := make(listedRows, 100)
		for i := range rows {
			rows[i] = make([]byte, 1000)
		}
		k := &packing{entity: accounts(t), rows: rows, end: []byte("}"), last: []byte("}")}
		k.call = route.Call{RequestID: "r", Connection: "acme", Budget: 4000, Job: &route.Job{Encode: encode, MaxParts: 3}}
		if parts, err := k.parts(ctx); !errors.Is(err, errManyParts) || parts != nil {
			t.Errorf("%s: %d parts, %v", name, len(parts), err)
		}
		if held := memory.Usage().Used; held != 0 {
			t.Errorf("%s: %d bytes are counted of none", name, held)
		}
	}
}

// accounted is an account of some memory, which nothing else counts against.
func accounted(t *testing.T) (*budget.Budget, context.Context) {
	memory, err := budget.New(budget.Bounds{Bytes: 64 << 20, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	account, err := memory.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	return memory, budget.With(t.Context(), account)
}
