// @ts-check
// What the examples share: the connection to NATS, one request with its reply, errors, and the
// end. Settings: NATS_URL, NATS_USER with NATS_PASSWORD or NATS_CREDS (a file), NATS_INBOX_PREFIX, and
// CONNECTION (demo).
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";

/**
 * Each operation's request and reply. Tables that the deployment serves have the same five.
 * @typedef {{
 *   "accounts.search": [import("../../crmbridge.d.ts").AccountsSearchRequest, import("../../crmbridge.d.ts").AccountsPage],
 *   "accounts.count": [import("../../crmbridge.d.ts").AccountsCountRequest, import("../../crmbridge.d.ts").AccountsCountReply],
 *   "accounts.changes": [import("../../crmbridge.d.ts").AccountsChangesRequest, import("../../crmbridge.d.ts").AccountsChangesReply],
 *   "connections.authorize": [import("../../crmbridge.d.ts").AuthorizeRequest, import("../../crmbridge.d.ts").AuthorizeReply],
 *   "jobs.get": [import("../../crmbridge.d.ts").JobRequest, import("../../crmbridge.d.ts").JobReply],
 *   "jobs.delete": [import("../../crmbridge.d.ts").JobRequest, import("../../crmbridge.d.ts").DeletedReply],
 * }} Operations
 */

export const connection = process.env.CONNECTION || "demo";

/** What crmbridge answered instead of a result: error.code says what to do. */
export class CrmError extends Error {
  /** @param {import("../../crmbridge.d.ts").Error} error */
  constructor(error) {
    super(`${error.code}: ${error.message}`);
    this.error = error;
  }
}

/**
 * The body of a reply; throws where it is an error.
 * @template T
 * @param {import("@nats-io/transport-node").Msg} reply
 * @returns {T}
 */
export function read(reply) {
  /** @type {any} */
  const body = reply.json();
  if (reply.headers?.get("Crm-Error-Code")) throw new CrmError(body.error);
  return body;
}

/**
 * Asks for an operation. Rejects also where nobody answers: no responders, or a time-out.
 * @template {keyof Operations} O
 * @param {import("@nats-io/transport-node").NatsConnection} nc
 * @param {O} operation
 * @param {Operations[O][0]} body
 * @returns {Promise<Operations[O][1]>}
 */
export async function ask(nc, operation, body) {
  const subject = `crm.${operation}.request.${connection}`;
  return read(await nc.request(subject, JSON.stringify(body), { timeout: 35_000 })); // it answers within 30 s
}

/**
 * Runs an example: SIGINT closes the connection to NATS, which ends whatever waits for it.
 * @param {(nc: import("@nats-io/transport-node").NatsConnection, signal: AbortSignal) => Promise<void>} main
 */
export async function run(main) {
  const { NATS_URL: servers = "nats://127.0.0.1:4222", NATS_CREDS, NATS_INBOX_PREFIX: inboxPrefix = "_INBOX" } = process.env;
  const { NATS_USER: user, NATS_PASSWORD: pass } = process.env;
  const stop = new AbortController();
  try {
    const authenticator = NATS_CREDS ? credsAuthenticator(readFileSync(NATS_CREDS)) : undefined;
    const nc = await connect({ servers, inboxPrefix, name: "crmbridge example", user, pass, authenticator });
    process.once("SIGINT", () => (stop.abort(), nc.close()));
    await main(nc, stop.signal).finally(() => (nc.isClosed() ? undefined : nc.drain()));
  } catch (err) {
    process.exitCode = 1;
    if (!stop.signal.aborted) console.error(err instanceof Error ? err.message : err);
  }
  if (stop.signal.aborted) process.exitCode = 130;
}
