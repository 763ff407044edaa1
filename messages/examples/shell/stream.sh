#!/bin/sh
# Up to 50,000 accounts with one request: the answer is as many messages as it takes.
#
#   cd messages/examples/shell && CONNECTION=demo sh stream.sh
. ./crmbridge.sh

# The nats CLI would wait for more after the last message: it is ended then.
mkfifo "$work/said"
# shellcheck disable=SC2086 # options are several words
nats req $options "crm.accounts.search.request.$CONNECTION" '{"mode": "stream", "fields": ["id", "name"]}' \
  --replies 0 --reply-timeout 35s >"$work/said" 2>&1 &
background=$!

# Headers are lines after the time, and bodies one line each. An error ends a stream too.
sed -E '/^[0-9:]+ Crm-(Last|Error-Code): /,/^\{/{/^\{/q;}' "$work/said" >"$work/all"
awk '
  /^{/ { next }
  /No responders/ { print "nobody answers: is crmbridge running?"; exit }
  $2 == "Crm-Page:" && $3 != ++page { print "a message is missing: ask again"; exit }
  $2 == "Crm-Last:" || $2 == "Crm-Error-Code:" { ended = 1 }
  END { if (!ended) print "the stream did not come to its end" }
' "$work/all" >"$work/fault"
[ ! -s "$work/fault" ] || { head -n 1 "$work/fault" >&2; exit 1; }

grep '^{' "$work/all" >"$work/pages"
jq -s -r '.[] | .error // empty | "\(.code): \(.message)"' "$work/pages" >"$work/error"
[ ! -s "$work/error" ] || { cat "$work/error" >&2; exit 1; } # the rows before it are good, and not all
jq -s -r '"\(map(.accounts | length) | add) accounts in \(length) messages",
  (.[-1].next_cursor // empty | "more come with the cursor \(.)")' "$work/pages"
