#!/bin/sh
# Calls a webhook when a customer must connect again. The place in the stream of events is kept in a
# file when the webhook has taken one (2xx), so none is missed while this script or the webhook is
# down, for 7 days. It begins with its first start: who is named by an older event may have connected
# since. (The nats CLI cannot acknowledge a message later than it shows it, so that this
# has a file where the other languages' examples have a durable consumer.)
#
#   cd messages/examples/shell && WEBHOOK_URL=https://example.com/hook CONNECTION=demo sh events.sh
#
# It needs curl, and of JetStream's API $JS.API.STREAM.MSG.GET.CRM_EVENTS. Without that right use
# nats sub on the same subject: what happens meanwhile is then missed.
. ./crmbridge.sh

: "${WEBHOOK_URL:?is not set}"
file=${SEQUENCE_FILE:-$CONNECTION.sequence}
subject=crm.events.connections.reauthorization_required.$CONNECTION

# stored MEMBERS asks for an event of the stream.
stored() {
  request '$JS.API.STREAM.MSG.GET.CRM_EVENTS' "$1" --raw >"$work/stored" 2>"$work/said" || cat "$work/said" >&2
}

if [ ! -f "$file" ]; then
  stored "{\"last_by_subj\": \"$subject\"}"
  jq -e '.message.seq // (select(.error.err_code == 10037) | 0) | . + 1' "$work/stored" >"$file" ||
    { rm -f "$file"; echo "the stream of events does not answer" >&2; exit 1; }
fi
next=$(cat "$file")
echo "watching $CONNECTION"
while :; do
  stored "{\"seq\": $next, \"next_by_subj\": \"$subject\"}"
  if jq -e .message "$work/stored" >/dev/null 2>&1; then
    jq -r '.message.data | @base64d' "$work/stored" >"$work/event"
    # event_id is the same when an event is sent again.
    if curl --silent --show-error --fail --max-time 10 --output /dev/null --header 'Content-Type: application/json' \
      --header "Idempotency-Key: $(jq -r .event_id "$work/event")" --data-binary "@$work/event" "$WEBHOOK_URL"; then
      next=$(jq '.message.seq + 1' "$work/stored")
      echo "$next" >"$file.new"
      mv "$file.new" "$file"
      jq -r '"\(.connection) must connect again (\(.last_error)): the webhook knows"' "$work/event"
      continue # there may be more
    fi
    echo "webhook: again in 5 s" >&2
  elif [ "$(jq -r '.error.err_code // empty' "$work/stored" 2>/dev/null)" != 10037 ]; then # no message yet
    echo "the stream of events does not answer: $(jq -r '.error.description // empty' "$work/stored" 2>/dev/null)" >&2
  fi
  sleep 5
done
