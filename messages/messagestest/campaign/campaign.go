// Package campaign is a sample: the part of a service for campaigns that asks crmbridge, to be
// copied and changed. It lists companies page by page, exports them by a job that it can go on
// with after a crash, and learns when a customer has to connect again. What goes wrong is tried
// again where crmbridge says that this helps, when it says so.
//
// It tests itself without Dataverse: see campaign_test.go.
package campaign

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A Service asks for the companies of customers. Its fields are not changed once it is used.
type Service struct {
	NATS *nats.Conn
	// Timeout bounds one request; 0 is 30 s. Tries is how often one is sent; 0 is 5.
	Timeout time.Duration
	Tries   int
	// Retries, where it is not nil, is told of each error after which a request is sent again.
	Retries func(err error)
}

// A Company is one account.
type Company struct {
	ID, Name, City string
	Employees      int
}

var fields = []string{"id", "name", "city", "employees"}

// Companies are those of a connection that match a filter, as a person writes it; "" is all.
func (s *Service) Companies(ctx context.Context, connection, filter string) (all []Company, err error) {
	search := messages.SearchRequest{Target: messages.Target{Connection: connection}, Fields: fields,
		OrderBy: []string{"name"}, PageSize: 10}
	if filter != "" {
		if search.Where, err = messages.ParseWhere(filter); err != nil {
			return nil, err
		}
	}
	for {
		var page *messages.Page
		err := s.retry(ctx, func(ctx context.Context) (err error) {
			page, err = messages.NewClient(s.NATS).Accounts().Search(ctx, search)
			return err
		})
		if err != nil {
			return all, err
		}
		if all, err = taken(all, page); err != nil || page.NextCursor == "" {
			return all, err
		}
		search = messages.SearchRequest{Target: search.Target, Cursor: page.NextCursor}
	}
}

// Export has a job read all companies and gives them to take, page after page, from a page on: who
// has kept page n goes on with n+1. The job runs once under its id, however often it is exported.
func (s *Service) Export(ctx context.Context, connection, job string, from int, take func([]Company) error) error {
	accounts := messages.NewClient(s.NATS).Accounts()
	search := messages.SearchRequest{Target: messages.Target{Connection: connection}, Fields: fields, PageSize: 10}
	sequential := false
	publication := messages.JobPublication{ID: job, JobOptions: messages.JobOptions{Parallel: &sequential}}
	if _, err := accounts.SearchJob(ctx, search, publication); err != nil {
		return err
	}
	for {
		err := func() error {
			for page, err := range accounts.JobPages(ctx, connection, job, messages.ResultsOptions{From: from}) {
				if err != nil {
					return err
				}
				companies, err := taken(nil, page)
				if err == nil {
					err = take(companies)
				}
				if err != nil {
					return err
				}
				from++
			}
			return nil
		}()
		var ended *messages.JobError
		if err == nil || errors.As(err, &ended) || !retryable(err) {
			return err // read to its end, or it failed for good
		}
		if err := s.wait(ctx, err, time.Second); err != nil {
			return err
		}
	}
}

// taken adds the companies of a page.
func taken(all []Company, page *messages.Page) ([]Company, error) {
	for _, row := range page.Rows {
		company := Company{ID: row.Text("id"), Name: row.Text("name"), City: row.Text("city")}
		if row["employees"].Kind() != 'n' { // null where Dataverse has no value
			if err := row.Decode("employees", &company.Employees); err != nil {
				return all, err
			}
		}
		all = append(all, company)
	}
	return all, nil
}

// Watch tells lost of each connection that a person must connect again, once, until stop is called.
// A message that comes twice, and one that is older than what is known, is passed over.
func (s *Service) Watch(lost func(connection, why string)) (stop func() error, err error) {
	known := map[string]int64{} // versions by incarnation; the subscription's goroutine has it alone
	sub, err := s.NATS.Subscribe(messages.EventSubject("*", "*"), func(msg *nats.Msg) {
		var event messages.ConnectionEvent
		if json.Unmarshal(msg.Data, &event) != nil || event.Version <= known[event.Incarnation] {
			return
		}
		known[event.Incarnation] = event.Version
		switch event.Kind {
		case messages.EventReauthorizationRequired:
			lost(event.Connection, event.LastError)
		case messages.EventDeleted:
			delete(known, event.Incarnation)
		}
	})
	if err != nil {
		return nil, err
	}
	return sub.Drain, s.NATS.Flush() // events from here on come
}

// retry tries a request until it is answered, cannot be, or has been tried often enough.
func (s *Service) retry(ctx context.Context, request func(context.Context) error) error {
	for try := 1; ; try++ {
		limited, cancel := context.WithTimeout(ctx, cmp.Or(s.Timeout, 30*time.Second))
		err := request(limited)
		cancel()
		if err == nil || !retryable(err) || try >= cmp.Or(s.Tries, 5) {
			return err
		}
		if err := s.wait(ctx, err, time.Duration(try)*100*time.Millisecond); err != nil {
			return err
		}
	}
}

// wait waits for as long as an error says, or else for so long.
func (s *Service) wait(ctx context.Context, err error, otherwise time.Duration) error {
	if s.Retries != nil {
		s.Retries(err)
	}
	if refused := refusal(err); refused != nil {
		otherwise = cmp.Or(refused.RetryAfter(), otherwise)
	}
	timer := time.NewTimer(otherwise)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal is crmbridge's error, nil where it is another's.
func refusal(err error) (refused *messages.Error) {
	errors.As(err, &refused)
	return refused
}

func retryable(err error) bool {
	refused := refusal(err)
	return refused != nil && refused.Retryable
}
