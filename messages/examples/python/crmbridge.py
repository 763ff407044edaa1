"""What the examples share: the connection to NATS, one request with its reply, errors, and the end.

Settings: NATS_URL, NATS_USER with NATS_PASSWORD or NATS_CREDS (a file), NATS_INBOX_PREFIX, and
CONNECTION (demo).
"""

import asyncio
import json
import os
import sys

try:
    import nats
    import nats.errors
except ImportError:
    sys.exit("nats-py is not installed: python3 -m pip install nats-py")

CONNECTION = os.environ.get("CONNECTION") or "demo"


class CrmError(Exception):
    """What crmbridge answered instead of a result: code says what to do."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]
        self.retryable = error["retryable"]
        self.retry_after = error.get("retry_after_ms", 0) / 1000  # s; 0 where it is not given
        self.details = error.get("details") or []


def read(reply):
    """The body of a reply. Raises CrmError where it is an error."""
    body = json.loads(reply.data)
    if (reply.headers or {}).get("Crm-Error-Code"):
        raise CrmError(body["error"])
    return body


async def ask(nc, operation, body):
    """Asks for an operation. Raises nats.errors.NoRespondersError or TimeoutError where nobody answers."""
    subject = f"crm.{operation}.request.{CONNECTION}"
    return read(await nc.request(subject, json.dumps(body).encode(), timeout=35))  # it answers within 30 s


def run(main):
    """Runs an example. SIGINT cancels what it waits for, and closes the connection to NATS."""

    async def whole():
        options = {"servers": os.environ.get("NATS_URL") or "nats://127.0.0.1:4222", "name": "crmbridge example"}
        for option, variable in {
            "user": "NATS_USER",
            "password": "NATS_PASSWORD",
            "user_credentials": "NATS_CREDS",
            "inbox_prefix": "NATS_INBOX_PREFIX",
        }.items():
            if os.environ.get(variable):
                options[option] = os.environ[variable]
        nc = await nats.connect(**options)
        try:
            await main(nc)
        finally:
            await nc.close()

    try:
        asyncio.run(whole())
    except KeyboardInterrupt:
        sys.exit(130)
    except (CrmError, nats.errors.Error, OSError, RuntimeError) as err:
        sys.exit(str(err) or type(err).__name__)
