#!/bin/sh
# Accounts page by page: each reply has a cursor for the next, until there are no more.
#
#   cd messages/examples/shell && CONNECTION=demo sh search.sh
. ./crmbridge.sh

# limit is over all pages; without it every row that matches comes.
body='{
  "where": {"and": [{"field": "industry", "op": "eq", "value": "Consulting"}, {"field": "website", "op": "not_null"}]},
  "fields": ["name", "city", "industry"], "order_by": ["name"], "page_size": 50, "limit": 200, "include_total": true
}'
rows=0
while [ -n "$body" ]; do
  must accounts.search "$body" >"$work/page"
  [ "$rows" -gt 0 ] || jq -r '"\(.total) accounts match"' "$work/page"
  jq -r '.accounts[] | "\(.name), \(.city // "-"), \(.industry.label)"' "$work/page"
  rows=$((rows + $(jq '.accounts | length' "$work/page")))
  body=$(jq -c '.next_cursor // empty | {cursor: .}' "$work/page") # a cursor holds the query: it is sent alone
done
echo "$rows accounts read of $CONNECTION"
