// @ts-check
// A customer's environment is connected: a person opens the address that this prints, and signs in.
//
//   npm install && CONNECTION=contoso ENVIRONMENT_URL=https://contoso.crm4.dynamics.com node connect.mjs
//
// ENVIRONMENT_URL is that of crmbridge-dev where it is not set. The NATS user needs the rights of
// deploy/nats.conf's ADMINISTRATORS: crm.connections.> and, for the event, crm.events.>.
import { ask, connection, run } from "./crmbridge.mjs";

await run(async (nc, signal) => {
  // Before the request: an event without a subscriber is missed.
  const events = nc.subscribe(`crm.events.connections.connected.${connection}`);
  const begun = await ask(nc, "connections.authorize", {
    environment_url: process.env.ENVIRONMENT_URL || "http://127.0.0.1:8090",
  });
  if (!begun.connect_url || !begun.expires_at) throw new Error("there is no page to connect on");
  console.log("Open in a browser:", begun.connect_url);

  const late = setTimeout(() => events.unsubscribe(), Date.parse(begun.expires_at) - Date.now());
  try {
    for await (const msg of events) {
      /** @type {import("../../crmbridge.d.ts").ConnectionEvent} */
      const event = msg.json();
      console.log(`${event.connection} is connected to ${event.environment_url}`);
      return;
    }
  } finally {
    clearTimeout(late);
  }
  if (!signal.aborted) throw new Error(`nobody connected until ${begun.expires_at}; begin again`);
});
