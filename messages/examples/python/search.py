"""Accounts page by page: each reply has a cursor for the next, until there are no more.

    pip install nats-py
    CONNECTION=demo python3 search.py
"""

from crmbridge import CONNECTION, ask, run


async def main(nc):
    request = {
        "where": {
            "and": [
                {"field": "industry", "op": "eq", "value": "Consulting"},
                {"field": "website", "op": "not_null"},
            ]
        },
        "fields": ["name", "city", "industry"],
        "order_by": ["name"],
        "page_size": 50,
        "limit": 200,  # over all pages; without it every row that matches
        "include_total": True,
    }
    rows = 0
    while request:
        page = await ask(nc, "accounts.search", request)
        if rows == 0:
            print(page["total"], "accounts match")
        for account in page["accounts"]:
            print(f"{account['name']}, {account['city'] or '-'}, {account['industry']['label']}")
        rows += len(page["accounts"])
        # A cursor holds the query: it is sent alone.
        request = {"cursor": page["next_cursor"]} if "next_cursor" in page else None
    print(rows, "accounts read of", CONNECTION)


run(main)
