"""A copy of the accounts, kept up to date: each run brings what changed since the one before.

    pip install nats-py
    CONNECTION=demo CURSOR_FILE=demo.cursor python3 changes.py

The first run, without the file, brings every account.
"""

import os
from pathlib import Path

from crmbridge import CONNECTION, CrmError, ask, run

FILE = Path(os.environ.get("CURSOR_FILE") or f"{CONNECTION}.cursor")


async def main(nc):
    changed, deleted, more = 0, 0, True
    while more:
        # fields must stay the same from run to run; id tells which row of the copy it is.
        request = {"fields": ["id", "name", "city"], "page_size": 5000}
        if FILE.exists():
            request["cursor"] = FILE.read_text()
        try:
            reply = await ask(nc, "accounts.changes", request)
        except CrmError as err:
            if err.code != "cursor_expired":
                raise
            FILE.unlink()  # not asked for too long: empty the copy, and begin again
            changed, deleted = 0, 0
            continue
        changed += len(reply["accounts"])  # put these into the copy first,
        deleted += len(reply["deleted"])  # then remove these,
        new = FILE.with_name(FILE.name + ".new")
        new.write_text(reply["next_cursor"])  # and keep the cursor last: a page that is taken in
        new.replace(FILE)  # twice does no harm.
        more = reply["has_more"]
    print(f"{changed} accounts made or changed, {deleted} deleted")


run(main)
