// @ts-check
// Calls a webhook when a customer must connect again. An event is acknowledged when the webhook has
// taken it (2xx), so none is missed while this program or the webhook is down, for 7 days. It begins
// with its first start: who is named by an older event may have connected since.
//
//   npm install && WEBHOOK_URL=https://example.com/hook CONNECTION=demo node events.mjs
//
// The NATS user needs JetStream's API for the consumer (../README.md has the subjects). Without that
// right subscribe to the same subject: what happens meanwhile is then missed.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connection, run } from "./crmbridge.mjs";

const webhook = process.env.WEBHOOK_URL;
const name = process.env.DURABLE || `webhook-${connection}`; // one for each watcher; several processes share it

await run(async (nc, signal) => {
  if (!webhook) throw new Error("WEBHOOK_URL is not set");
  const consumers = (await jetstreamManager(nc, { checkAPI: false })).consumers;
  await consumers.add("CRM_EVENTS", {
    durable_name: name,
    filter_subject: `crm.events.connections.reauthorization_required.${connection}`,
    deliver_policy: DeliverPolicy.New,
    ack_policy: AckPolicy.Explicit,
    ack_wait: 30_000_000_000, // ns: longer than the webhook may take
    max_ack_pending: 1, // in order
  });
  const messages = await (await jetstream(nc).consumers.get("CRM_EVENTS", name)).consume({ max_messages: 1 });
  signal.addEventListener("abort", () => messages.stop());
  console.log("watching", connection);
  for await (const msg of messages) {
    /** @type {import("../../crmbridge.d.ts").ConnectionEvent} */
    const event = msg.json();
    try {
      // event_id is the same when an event is delivered again.
      const answer = await fetch(webhook, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": event.event_id },
        body: JSON.stringify(event),
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
      });
      if (!answer.ok) throw new Error(`it answered ${answer.status}`);
      await msg.ackAck();
      console.log(`${event.connection} must connect again (${event.last_error}): the webhook knows`);
    } catch (err) {
      if (signal.aborted) return;
      console.error(`webhook: ${/** @type {Error} */ (err).message}; again in 5 s`);
      msg.nak(5_000);
    }
  }
});
