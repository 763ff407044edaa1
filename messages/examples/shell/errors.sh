#!/bin/sh
# Errors: what to branch on, what to show, and when to ask again.
#
#   cd messages/examples/shell && CONNECTION=demo sh errors.sh
. ./crmbridge.sh

# patiently OPERATION BODY asks again what may succeed later, after the pause that crmbridge asks
# for: at most 5 times, and not where it would be longer than a minute.
patiently() {
  tried=1 pause=1000
  while :; do
    if ! ask "$1" "$2" >"$work/reply"; then
      echo '{"error": {"code": "unavailable", "message": "nobody answers", "retryable": true}}' >"$work/reply"
    fi
    wait=$(jq --argjson pause "$pause" '.error // empty | .retry_after_ms // $pause' "$work/reply")
    [ -n "$wait" ] || break # a result
    jq -r '.error | "\(.code): \(.message)"' "$work/reply" >"$work/why"
    if [ "$(jq .error.retryable "$work/reply")" != true ] || [ "$tried" -ge 5 ] || [ "$wait" -gt 60000 ]; then
      cat "$work/why" >&2
      return 1
    fi
    seconds=$(((wait + 999) / 1000))
    echo "$(cat "$work/why"); again in $seconds s" >&2
    sleep "$seconds"
    tried=$((tried + 1)) pause=$((pause * 2))
  done
  cat "$work/reply"
}

ask accounts.count '{"where": {"field": "industri", "op": "eq", "value": "Consulting"}}' |
  jq -r '.error | "refused: \(.code)", ((.details // [])[] | "  \(.path): \(.message)")'

if ! count=$(patiently accounts.count '{}'); then
  if [ "$(jq -r .error.code "$work/reply")" = reauthorization_required ]; then
    echo "$CONNECTION: a person must connect again (connect.sh)" >&2
  fi
  exit 1
fi
printf '%s\n' "$count" | jq -r '"\(.count) accounts"'
