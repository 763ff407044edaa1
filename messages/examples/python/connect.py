"""A customer's environment is connected: a person opens the address that this prints, and signs in.

    pip install nats-py
    CONNECTION=contoso ENVIRONMENT_URL=https://contoso.crm4.dynamics.com python3 connect.py

ENVIRONMENT_URL is that of crmbridge-dev where it is not set. The NATS user needs the rights of
deploy/nats.conf's ADMINISTRATORS: crm.connections.> and, for the event, crm.events.>.
"""

import json
import os
from datetime import datetime, timezone

import nats.errors

from crmbridge import CONNECTION, ask, run


async def main(nc):
    # Before the request: an event without a subscriber is missed.
    events = await nc.subscribe(f"crm.events.connections.connected.{CONNECTION}")
    environment = os.environ.get("ENVIRONMENT_URL") or "http://127.0.0.1:8090"
    begun = await ask(nc, "connections.authorize", {"environment_url": environment})
    print("Open in a browser:", begun["connect_url"], flush=True)

    # Seconds are enough, and some versions of Python read nothing finer.
    expires = datetime.strptime(begun["expires_at"][:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    left = (expires - datetime.now(timezone.utc)).total_seconds()
    try:
        event = json.loads((await events.next_msg(timeout=left)).data)
    except nats.errors.TimeoutError:
        raise RuntimeError(f"nobody connected until {begun['expires_at']}; begin again") from None
    print(f"{event['connection']} is connected to {event['environment_url']}")


run(main)
