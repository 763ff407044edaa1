"""Calls a webhook when a customer must connect again. An event is acknowledged when the webhook has
taken it (2xx), so none is missed while this program or the webhook is down, for 7 days. It begins with
its first start: who is named by an older event may have connected since.

    pip install nats-py
    WEBHOOK_URL=https://example.com/hook CONNECTION=demo python3 events.py

The NATS user needs JetStream's API for the consumer (../README.md has the subjects). Without that
right subscribe to the same subject: what happens meanwhile is then missed.
"""

import asyncio
import json
import os
import urllib.request

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from crmbridge import CONNECTION, run

WEBHOOK = os.environ.get("WEBHOOK_URL")
NAME = os.environ.get("DURABLE") or f"webhook-{CONNECTION}"  # one for each watcher; several processes share it


def call(event):
    """Calls the webhook. Raises OSError where it does not answer with 2xx."""
    # event_id is the same when an event is delivered again.
    headers = {"Content-Type": "application/json", "Idempotency-Key": event["event_id"]}
    request = urllib.request.Request(WEBHOOK, json.dumps(event).encode(), headers)
    urllib.request.urlopen(request, timeout=10).close()


async def main(nc):
    if not WEBHOOK:
        raise RuntimeError("WEBHOOK_URL is not set")
    consumer = await nc.jetstream().pull_subscribe(
        f"crm.events.connections.reauthorization_required.{CONNECTION}",
        durable=NAME,
        stream="CRM_EVENTS",
        # s: longer than the webhook may take; one at a time, in order.
        config=ConsumerConfig(
            name=NAME,
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30,
            max_ack_pending=1,
        ),
    )
    print("watching", CONNECTION, flush=True)
    while True:
        try:
            (msg,) = await consumer.fetch(1, timeout=30)
        except nats.errors.TimeoutError:
            continue  # there was none
        except nats.js.errors.APIError as err:
            if err.code != 408:  # there was none, said by the server
                raise
            continue
        event = json.loads(msg.data)
        try:
            await asyncio.to_thread(call, event)
        except OSError as err:
            print(f"webhook: {err}; again in 5 s", flush=True)
            await msg.nak(delay=5)
            continue
        await msg.ack_sync()
        print(f"{event['connection']} must connect again ({event.get('last_error')}): the webhook knows", flush=True)


run(main)
