// @ts-check
// Every account, however many there are: a job outlives this program, crmbridge and NATS's restarts.
//
//   npm install && CONNECTION=demo JOB_ID=export-1 node job.mjs
//
// The same JOB_ID again goes on with the same job: an id names one job for 7 days.
import { setTimeout as sleep } from "node:timers/promises";
import { ask, connection, CrmError, read, run } from "./crmbridge.mjs";

const id = process.env.JOB_ID || crypto.randomUUID(); // keep it before the job is published

/** @param {unknown} err */
const notFound = (err) => err instanceof CrmError && err.error.code === "not_found";

await run(async (nc, signal) => {
  /** @type {import("../../crmbridge.d.ts").AccountsSearchRequestAsJob} */
  const search = { fields: ["id", "name"], page_size: 5000 };
  const body = JSON.stringify(search);
  nc.subscribe(`crm.state.${connection}.${id}`, {
    callback: (_, msg) => {
      /** @type {import("../../crmbridge.d.ts").JobRecord} */
      const record = msg.json();
      console.log(`${record.state}: ${record.rows} of ${record.total ?? "?"} accounts`); // for display only
    },
  });

  for (let tries = 1; ; tries++) {
    try {
      // The answer is JetStream's, and means that the job is stored.
      const ack = await nc.request(`crm.accounts.search.job.${connection}.${id}`, body, { timeout: 10_000 });
      if (/** @type {{ stream?: string }} */ (ack.json()).stream) break;
    } catch (err) {
      if (signal.aborted) throw err; // otherwise it is not known whether it is stored: ask
    }
    const known = await ask(nc, "jobs.get", { job_id: id }).catch((err) => {
      if (!notFound(err) || tries >= 10) throw err;
    });
    if (known) break;
    await sleep(2_000, undefined, { signal });
  }
  console.log("job", id);

  let rows = 0;
  let { job } = await ask(nc, "jobs.get", { job_id: id });
  for (let page = 1; ; ) {
    /** @type {import("../../crmbridge.d.ts").JobResultsRequest} */
    const wanted = { job_id: id, page };
    const result = await nc.request(`crm.jobs.results.request.${connection}`, JSON.stringify(wanted), { timeout: 35_000 });
    const header = (/** @type {string} */ name) => result.headers?.get(name);
    if (header("Crm-Error-Code") === "not_found" && !header("Crm-Page")) {
      // It has not come yet, unless the job had brought it, or had ended, before it was asked for.
      if (job.pages >= page || job.finished_at) throw new Error(`page ${page} is not there: the job is ${job.state}`);
      await sleep(500, undefined, { signal });
      ({ job } = await ask(nc, "jobs.get", { job_id: id }));
      continue;
    }
    /** @type {import("../../crmbridge.d.ts").AccountsPage} */
    const accounts = read(result); // throws the error that a failed job ends with
    if (!job.incarnation) ({ job } = await ask(nc, "jobs.get", { job_id: id }));
    if (header("Crm-Incarnation") !== job.incarnation) throw new Error("these are not the results of this job");
    rows += accounts.accounts?.length ?? 0;
    if (header("Crm-Last") === "true") break;
    page++; // keep it: after a crash the results go on here
  }
  console.log(rows, "accounts");
  await ask(nc, "jobs.delete", { job_id: id }); // gives the room back
});
