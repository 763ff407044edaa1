"""Up to 50,000 accounts with one request: the answer is as many messages as it takes.

    pip install nats-py
    CONNECTION=demo python3 stream.py
"""

import json
from datetime import datetime, timedelta, timezone

from crmbridge import CONNECTION, read, run


async def main(nc):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    deadline = datetime.now(timezone.utc) + timedelta(minutes=2)
    await nc.publish(
        f"crm.accounts.search.request.{CONNECTION}",
        json.dumps({"mode": "stream", "fields": ["id", "name"]}).encode(),
        reply=inbox,
        headers={"Crm-Deadline": deadline.isoformat()},  # 30 s without it, and 5 min at most
    )
    rows, number = 0, 0
    while True:
        left = (deadline - datetime.now(timezone.utc)).total_seconds() + 5
        reply = await replies.next_msg(timeout=left)
        headers = reply.headers or {}
        if headers.get("Status") == "503" and not reply.data:
            raise RuntimeError("nobody answers: is crmbridge running?")
        page = read(reply)  # an error ends the stream; the rows before it are good, and not all
        number += 1
        if headers.get("Crm-Page") != str(number):
            raise RuntimeError("a message is missing: ask again")
        rows += len(page["accounts"])
        if headers.get("Crm-Last") == "true":
            break
    more = "; more come with its next_cursor as cursor" if "next_cursor" in page else ""
    print(f"{rows} accounts in {number} messages{more}")


run(main)
