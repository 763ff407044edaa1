// Accounts page by page: each reply has a cursor for the next, which the client sends.
//
//	CONNECTION=demo go run ./messages/examples/go/search
package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		client := messages.NewClient(nc)
		where := messages.All(messages.Leaf("industry", messages.Eq, "Consulting"), messages.HasValue("website"))
		search := messages.SearchRequest{
			Target:       messages.Target{Connection: crmbridge.Connection},
			Where:        &where,
			Fields:       []string{"name", "city", "industry"},
			OrderBy:      []string{"name"},
			PageSize:     50,
			Limit:        200, // over all pages; without it every row that matches
			IncludeTotal: true,
		}
		rows := 0
		for page, err := range client.Accounts().Pages(ctx, search) {
			if err != nil {
				return err
			}
			if rows == 0 && page.Total != nil {
				fmt.Println(*page.Total, "accounts match")
			}
			for _, account := range page.Rows {
				industry := account.Text("industry") // the label of a choice
				fmt.Printf("%s, %s, %s\n", account.Text("name"), cmp.Or(account.Text("city"), "-"), industry)
			}
			rows += len(page.Rows)
		}
		fmt.Println(rows, "accounts read of", crmbridge.Connection)
		return nil
	})
}
