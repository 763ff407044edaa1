#!/bin/sh
# Every account, however many there are: a job outlives this script, crmbridge and NATS's restarts.
#
#   cd messages/examples/shell && CONNECTION=demo JOB_ID=export-1 sh job.sh >accounts.jsonl
#
# The same JOB_ID again goes on with the same job: an id names one job for 7 days.
. ./crmbridge.sh

id=${JOB_ID:-example-$(date +%s)-$$} # keep it before the job is published
about=$(jq -n --arg id "$id" '{job_id: $id}')
code() { jq -r '.error.code // empty' "$1"; }

tries=0
while :; do
  # The answer is JetStream's, and means that the job is stored.
  request "crm.accounts.search.job.$CONNECTION.$id" '{"fields": ["id", "name"], "page_size": 5000}' \
    --raw >"$work/ack" 2>/dev/null || true
  if jq -e .stream "$work/ack" >/dev/null 2>&1 && ! jq -e .error "$work/ack" >/dev/null; then break; fi
  ask jobs.get "$about" >"$work/job" # otherwise it is not known whether it is stored
  [ -n "$(code "$work/job")" ] || break
  tries=$((tries + 1))
  if [ "$(code "$work/job")" != not_found ] || [ "$tries" -ge 10 ]; then
    jq -r '.error | "\(.code): \(.message)"' "$work/job" >&2
    exit 1
  fi
  sleep 2
done
echo "job $id" >&2

header() { sed -n "s/^[0-9:]* $1: //p" "$work/head"; } # of the nats CLI's standard error
rows=0 page=1
must jobs.get "$about" >"$work/job"
while :; do
  request "crm.jobs.results.request.$CONNECTION" \
    "$(jq -n --arg id "$id" --argjson page "$page" '{job_id: $id, page: $page}')" >"$work/page" 2>"$work/head"
  if [ "$(header Crm-Error-Code)" = not_found ] && [ -z "$(header Crm-Page)" ]; then
    # It has not come yet, unless the job had brought it, or had ended, before it was asked for.
    if jq -e --argjson page "$page" '.job | .pages >= $page or .finished_at != null' "$work/job" >/dev/null; then
      jq -r '"the page is not there: the job is \(.job.state)"' "$work/job" >&2
      exit 1
    fi
    sleep 1
    must jobs.get "$about" >"$work/job"
    jq -r '.job | "\(.state): \(.rows) of \(.total // "?") accounts"' "$work/job" >&2
    continue
  fi
  [ -s "$work/page" ] || { echo "nobody answers: is crmbridge running?" >&2; exit 1; }
  if [ -n "$(code "$work/page")" ]; then # what a failed job ends with
    jq -r '.error | "\(.code): \(.message)"' "$work/page" >&2
    exit 1
  fi
  if jq -e '.job.incarnation == null' "$work/job" >/dev/null; then must jobs.get "$about" >"$work/job"; fi
  [ "$(header Crm-Incarnation)" = "$(jq -r .job.incarnation "$work/job")" ] ||
    { echo "these are not the results of this job" >&2; exit 1; }
  jq -c '.accounts[]' "$work/page"
  rows=$((rows + $(jq '.accounts | length' "$work/page")))
  [ "$(header Crm-Last)" != true ] || break
  page=$((page + 1)) # keep it: after a crash the results go on here
done
echo "$rows accounts" >&2
must jobs.delete "$about" >/dev/null # gives the room back
