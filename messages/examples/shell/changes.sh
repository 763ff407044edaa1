#!/bin/sh
# A copy of the accounts, kept up to date: each run brings what changed since the one before.
#
#   cd messages/examples/shell && CONNECTION=demo CURSOR_FILE=demo.cursor sh changes.sh
#
# The first run, without the file, brings every account.
. ./crmbridge.sh

file=${CURSOR_FILE:-$CONNECTION.cursor}
changed=0 deleted=0 more=true
while [ "$more" = true ]; do
  cursor=""
  [ ! -f "$file" ] || cursor=$(cat "$file")
  # fields must stay the same from run to run; id tells which row of the copy it is.
  body=$(jq -n --arg cursor "$cursor" '{fields: ["id", "name", "city"], page_size: 5000}
    + if $cursor == "" then {} else {cursor: $cursor} end')
  ask accounts.changes "$body" >"$work/page"
  case $(jq -r '.error.code // empty' "$work/page") in
  "") ;;
  cursor_expired) # not asked for too long: empty the copy, and begin again
    rm -f "$file"
    changed=0 deleted=0
    continue
    ;;
  *)
    jq -r '.error | "\(.code): \(.message)"' "$work/page" >&2
    exit 1
    ;;
  esac
  changed=$((changed + $(jq '.accounts | length' "$work/page"))) # put these into the copy first,
  deleted=$((deleted + $(jq '.deleted | length' "$work/page")))  # then remove these, and keep the
  jq -r .next_cursor "$work/page" >"$file.new"                   # cursor last: a page that is taken
  mv "$file.new" "$file"                                         # in twice does no harm
  more=$(jq .has_more "$work/page")
done
echo "$changed accounts made or changed, $deleted deleted"
