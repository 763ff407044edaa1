// @ts-check
// A copy of the accounts, kept up to date: each run brings what changed since the one before.
//
//   npm install && CONNECTION=demo CURSOR_FILE=demo.cursor node changes.mjs
//
// The first run, without the file, brings every account.
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { ask, connection, CrmError, run } from "./crmbridge.mjs";

const file = process.env.CURSOR_FILE || `${connection}.cursor`;

await run(async (nc) => {
  /** @type {string | undefined} */
  let cursor = await readFile(file, "utf8").catch((err) => {
    if (err.code !== "ENOENT") throw err;
    return undefined;
  });
  let [changed, deleted] = [0, 0];
  for (let more = true; more; ) {
    let reply;
    try {
      // fields must stay the same from run to run; id tells which row of the copy it is.
      reply = await ask(nc, "accounts.changes", { fields: ["id", "name", "city"], cursor, page_size: 5000 });
    } catch (err) {
      if (!(err instanceof CrmError && err.error.code === "cursor_expired")) throw err;
      await rm(file, { force: true }); // not asked for too long: empty the copy, and begin again
      [cursor, changed, deleted] = [undefined, 0, 0];
      continue;
    }
    changed += reply.accounts?.length ?? 0; // put these into the copy first,
    deleted += reply.deleted?.length ?? 0; // then remove these,
    cursor = reply.next_cursor; // and keep the cursor last: a page that is taken in twice does no harm.
    await writeFile(`${file}.new`, cursor);
    await rename(`${file}.new`, file);
    more = reply.has_more;
  }
  console.log(`${changed} accounts made or changed, ${deleted} deleted`);
});
