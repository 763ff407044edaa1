"""Errors: what to branch on, what to show, and when to ask again.

    pip install nats-py
    CONNECTION=demo python3 errors.py
"""

import asyncio
import math
import random

import nats.errors

from crmbridge import CONNECTION, CrmError, ask, run


async def patiently(nc, operation, body, tries=5, patience=60.0):
    """Asks again what may succeed later, after the pause that crmbridge asks for: at most `tries` times,
    and not where it would be longer than `patience` seconds."""
    for tried in range(1, tries + 1):
        wait = 2 ** (tried - 1) * random.uniform(0.5, 1.5)
        try:
            return await ask(nc, operation, body)
        except CrmError as err:
            wait = err.retry_after or wait
            if not err.retryable or tried == tries or wait > patience:
                raise
            why = str(err)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError) as err:
            if tried == tries:
                raise
            why = f"nobody answers ({type(err).__name__})"
        print(f"{why}; again in {math.ceil(wait)} s", flush=True)
        await asyncio.sleep(wait)


async def main(nc):
    try:
        await ask(nc, "accounts.count", {"where": {"field": "industri", "op": "eq", "value": "Consulting"}})
    except CrmError as err:
        print("refused:", err.code)
        for detail in err.details:
            print(f"  {detail['path']}: {detail['message']}")
    try:
        reply = await patiently(nc, "accounts.count", {})
    except CrmError as err:
        if err.code == "reauthorization_required":
            raise RuntimeError(f"{CONNECTION}: a person must connect again (connect.py): {err}") from None
        raise
    print(reply["count"], "accounts")


run(main)
