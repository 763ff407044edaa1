#!/bin/sh
# A customer's environment is connected: a person opens the address that this prints, and signs in.
#
#   cd messages/examples/shell && CONNECTION=contoso ENVIRONMENT_URL=https://contoso.crm4.dynamics.com sh connect.sh
#
# ENVIRONMENT_URL is that of crmbridge-dev where it is not set. The NATS user needs the rights of
# deploy/nats.conf's ADMINISTRATORS: crm.connections.> and, for the event, crm.events.>.
. ./crmbridge.sh

# Before the request: an event without a subscriber is missed.
nats sub "crm.events.connections.connected.$CONNECTION" --count 1 >"$work/event" 2>&1 &
background=$!
until grep -q Subscribing "$work/event"; do
  kill -0 "$background" 2>/dev/null || { cat "$work/event" >&2; exit 1; }
  sleep 0.1
done

begun=$(must connections.authorize \
  "$(jq -n --arg url "${ENVIRONMENT_URL:-http://127.0.0.1:8090}" '{environment_url: $url}')")
printf '%s\n' "$begun" | jq -r '"Open in a browser: \(.connect_url)"'
left=$(printf '%s\n' "$begun" | jq '.expires_at | sub("\\.[0-9]+"; "") | fromdate - now | ceil')

while kill -0 "$background" 2>/dev/null; do
  [ "$left" -gt 0 ] || { echo "nobody connected in time; begin again" >&2; exit 1; }
  left=$((left - 1))
  sleep 1
done
background=""
grep '^{' "$work/event" | jq -r '"\(.connection) is connected to \(.environment_url)"'
