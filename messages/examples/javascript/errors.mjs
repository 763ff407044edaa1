// @ts-check
// Errors: what to branch on, what to show, and when to ask again.
//
//   npm install && CONNECTION=demo node errors.mjs
import { RequestError, TimeoutError } from "@nats-io/transport-node";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, connection, CrmError, run } from "./crmbridge.mjs";

/**
 * Asks again what may succeed later, after the pause that crmbridge asks for: at most `tries`
 * times, and not where it would be longer than `patience` ms.
 * @template T
 * @param {() => Promise<T>} request
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
export async function patiently(request, signal, tries = 5, patience = 60_000) {
  for (let tried = 1; ; tried++) {
    try {
      return await request();
    } catch (err) {
      const nobody = err instanceof TimeoutError || (err instanceof RequestError && err.isNoResponders());
      const again = nobody || (err instanceof CrmError && err.error.retryable);
      const backOff = 1_000 * 2 ** (tried - 1) * (0.5 + Math.random());
      const wait = (err instanceof CrmError && err.error.retry_after_ms) || backOff;
      if (!again || tried >= tries || wait > patience || signal.aborted) throw err;
      console.log(`${/** @type {Error} */ (err).message}; again in ${Math.ceil(wait / 1000)} s`);
      await sleep(wait, undefined, { signal });
    }
  }
}

await run(async (nc, signal) => {
  try {
    await ask(nc, "accounts.count", { where: { field: "industri", op: "eq", value: "Consulting" } });
  } catch (err) {
    if (!(err instanceof CrmError)) throw err;
    console.log("refused:", err.error.code);
    for (const { path, message } of err.error.details ?? []) console.log(`  ${path}: ${message}`);
  }
  try {
    const { count } = await patiently(() => ask(nc, "accounts.count", {}), signal);
    console.log(count, "accounts");
  } catch (err) {
    if (err instanceof CrmError && err.error.code === "reauthorization_required") {
      throw new Error(`${connection}: a person must connect again (connect.mjs): ${err.error.message}`);
    }
    throw err;
  }
});
