// A copy of the accounts, kept up to date: each run brings what changed since the one before.
//
//	CONNECTION=demo CURSOR_FILE=demo.cursor go run ./messages/examples/go/changes
//
// The first run, without the file, brings every account.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		client := messages.NewClient(nc)
		file := cmp.Or(os.Getenv("CURSOR_FILE"), crmbridge.Connection+".cursor")
		cursor, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		changed, deleted := 0, 0
		for more := true; more; {
			// Fields must stay the same from run to run; id tells which row of the copy it is.
			reply, err := client.Accounts().Changes(ctx, messages.ChangesRequest{
				Target: messages.Target{Connection: crmbridge.Connection},
				Fields: []string{"id", "name", "city"}, Cursor: string(cursor), PageSize: 5000,
			})
			if fault, ok := errors.AsType[*messages.Error](err); ok && fault.Code == messages.CursorExpired && cursor != nil {
				cursor, changed, deleted = nil, 0, 0 // not asked for too long: empty the copy, and begin again
				continue
			}
			if err != nil {
				return err
			}
			changed += len(reply.Rows)    // put these into the copy first,
			deleted += len(reply.Deleted) // then remove these,
			cursor = []byte(reply.NextCursor)
			// and keep the cursor last: a page that is taken in twice does no harm.
			if err := os.WriteFile(file+".new", cursor, 0o600); err != nil {
				return err
			}
			if err := os.Rename(file+".new", file); err != nil {
				return err
			}
			more = reply.HasMore
		}
		fmt.Printf("%d accounts made or changed, %d deleted\n", changed, deleted)
		return nil
	})
}
