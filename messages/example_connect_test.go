package messages_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A customer's environment is connected: a person opens the connect page and signs in, and the
// event says when that is done.
func ExampleClient_Authorize() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.connections.authorize.request.acme": {"": {
		`{"request_id":"r","connection":"acme","connect_url":"https://crm.example/connect/abc","expires_at":"2099-11-30T00:46:44Z"}`}}})
	defer stop()
	client, ctx := messages.NewClient(nc), context.Background()

	watch, err := client.WatchConnection("acme") // before: an event without a subscriber is missed
	check(err)
	defer watch.Close()
	begun, err := client.Authorize(ctx, messages.AuthorizeRequest{Target: acme, EnvironmentURL: "https://contoso.crm4.dynamics.com"})
	check(err)
	fmt.Println("Open in a browser:", begun.ConnectURL)
	check(nc.Publish(messages.EventSubject(messages.EventConnected, "acme"), // as crmbridge does
		[]byte(`{"event_id":"1","kind":"connected","connection":"acme","environment_url":"https://contoso.crm4.dynamics.com"}`)))

	ctx, cancel := context.WithDeadline(ctx, begun.ExpiresAt)
	defer cancel()
	for {
		event, err := watch.Next(ctx)
		check(err)
		if event.Kind == messages.EventConnected {
			fmt.Println(event.Connection, "is connected to", event.EnvironmentURL)
			return
		}
	}
	// Output:
	// Open in a browser: https://crm.example/connect/abc
	// acme is connected to https://contoso.crm4.dynamics.com
}

// What happens to a connection, as it happens.
func ExampleClient_WatchConnection() {
	nc, stop := connectedTo(nil)
	defer stop()
	client := messages.NewClient(nc)

	watch, err := client.WatchConnection("acme")
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()
	check(nc.Publish(messages.EventSubject(messages.EventReauthorizationRequired, "acme"), // as crmbridge does
		[]byte(`{"event_id":"1","kind":"reauthorization_required","connection":"acme","last_error":"the password was changed"}`)))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	event, err := watch.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if event.Kind == messages.EventReauthorizationRequired {
		fmt.Printf("%s: a person must connect again: %s\n", event.Connection, event.LastError)
	}
	// Output:
	// acme: a person must connect again: the password was changed
}
