// @ts-check
// Accounts page by page: each reply has a cursor for the next, until there are no more.
//
//   npm install && CONNECTION=demo node search.mjs
import { ask, connection, run } from "./crmbridge.mjs";

await run(async (nc) => {
  /** @type {import("../../crmbridge.d.ts").AccountsSearchRequest} */
  const search = {
    where: { and: [{ field: "industry", op: "eq", value: "Consulting" }, { field: "website", op: "not_null" }] },
    fields: ["name", "city", "industry"],
    order_by: ["name"],
    page_size: 50,
    limit: 200, // over all pages; without it every row that matches
    include_total: true,
  };
  /** @type {string | undefined} */
  let cursor;
  let rows = 0;
  do {
    // A cursor holds the query: it is sent alone.
    const page = await ask(nc, "accounts.search", cursor ? { cursor } : search);
    if (!cursor) console.log(page.total, "accounts match");
    for (const account of page.accounts ?? []) {
      console.log(`${account.name}, ${account.city ?? "-"}, ${account.industry?.label}`);
    }
    rows += page.accounts?.length ?? 0;
    cursor = page.next_cursor;
  } while (cursor);
  console.log(rows, "accounts read of", connection);
});
