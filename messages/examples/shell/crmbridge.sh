# What the examples share; each reads it with ". ./crmbridge.sh". It needs the nats CLI and jq.
# Settings: those of the nats CLI (NATS_URL, NATS_USER, NATS_CREDS, …), NATS_INBOX_PREFIX where
# the user's inboxes have one, and CONNECTION (demo).
set -eu
: "${CONNECTION:=demo}"
for program in nats jq; do
  command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 1; }
done
work=$(mktemp -d)
background="" # process to end with the script
trap '[ -z "$background" ] || kill "$background" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# request SUBJECT BODY [OPTION…]. Without --no-templates {{ in a body would be replaced.
options="--no-templates --timeout=35s ${NATS_INBOX_PREFIX:+--inbox-prefix=$NATS_INBOX_PREFIX}"
# shellcheck disable=SC2086 # options are several words
request() { nats req $options "$@"; }

# ask OPERATION BODY prints the reply, an error too. It fails where nobody answers.
ask() {
  reply=$(request "crm.$1.request.$CONNECTION" "$2" --raw 2>"$work/said") || { cat "$work/said" >&2; return 1; }
  # The nats CLI ends well without responders, and prints nothing.
  [ -n "$reply" ] || { echo "nobody answers $1: is crmbridge running?" >&2; return 1; }
  printf '%s\n' "$reply"
}

# must OPERATION BODY is ask, and fails with the message where the reply is an error.
must() {
  ask "$1" "$2" >"$work/reply" || return 1
  if jq -e .error "$work/reply" >/dev/null; then
    jq -r '.error | "\(.code): \(.message)"' "$work/reply" >&2
    return 1
  fi
  cat "$work/reply"
}
