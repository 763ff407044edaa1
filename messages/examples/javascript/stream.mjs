// @ts-check
// Up to 50,000 accounts with one request: the answer is as many messages as it takes.
//
//   npm install && CONNECTION=demo node stream.mjs
import { createInbox, headers } from "@nats-io/transport-node";
import { connection, read, run } from "./crmbridge.mjs";

await run(async (nc, signal) => {
  /** @type {import("../../crmbridge.d.ts").AccountsSearchRequest} */
  const search = { mode: "stream", fields: ["id", "name"] };
  const inbox = createInbox(process.env.NATS_INBOX_PREFIX);
  const replies = nc.subscribe(inbox);
  const deadline = new Date(Date.now() + 120_000);
  const late = setTimeout(() => replies.unsubscribe(), deadline.getTime() + 5_000 - Date.now());
  let rows = 0;
  let next = 1;
  try {
    const head = headers();
    head.set("Crm-Deadline", deadline.toISOString()); // 30 s without it, and 5 min at most
    nc.publish(`crm.accounts.search.request.${connection}`, JSON.stringify(search), { reply: inbox, headers: head });
    for await (const reply of replies) {
      if (reply.headers?.code === 503 && reply.data.length === 0) throw new Error("nobody answers: is crmbridge running?");
      /** @type {import("../../crmbridge.d.ts").AccountsPage} */
      const page = read(reply); // an error ends the stream; the rows before it are good, and not all
      if (Number(reply.headers?.get("Crm-Page")) !== next++) throw new Error("a message is missing: ask again");
      rows += page.accounts?.length ?? 0;
      if (reply.headers?.get("Crm-Last") === "true") {
        const more = page.next_cursor ? "; more come with its next_cursor as cursor" : "";
        console.log(`${rows} accounts in ${next - 1} messages${more}`);
        return;
      }
    }
  } finally {
    clearTimeout(late);
    replies.unsubscribe();
  }
  if (!signal.aborted) throw new Error(`the stream did not end until ${deadline.toISOString()}`);
});
