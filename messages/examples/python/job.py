"""Every account, however many there are: a job outlives this program, crmbridge and NATS's restarts.

    pip install nats-py
    CONNECTION=demo JOB_ID=export-1 python3 job.py

The same JOB_ID again goes on with the same job: an id names one job for 7 days.
"""

import asyncio
import json
import os
import uuid

import nats.errors

from crmbridge import CONNECTION, CrmError, ask, read, run

JOB = os.environ.get("JOB_ID") or str(uuid.uuid4())  # keep it before the job is published


async def publish(nc):
    """Publishes the job until it is known that it is stored."""
    body = json.dumps({"fields": ["id", "name"], "page_size": 5000}).encode()
    for tries in range(1, 11):
        try:
            # The answer is JetStream's, and means that the job is stored.
            ack = json.loads((await nc.request(f"crm.accounts.search.job.{CONNECTION}.{JOB}", body, timeout=10)).data)
            if "stream" in ack and "error" not in ack:
                return
        except nats.errors.Error:
            pass  # it is not known whether it is stored: ask
        try:
            await ask(nc, "jobs.get", {"job_id": JOB})
            return
        except CrmError as err:
            if err.code != "not_found" or tries == 10:
                raise
        await asyncio.sleep(2)


async def main(nc):
    async def show(msg):
        record = json.loads(msg.data)
        print(f"{record['state']}: {record['rows']} of {record.get('total', '?')} accounts")  # for display only

    await nc.subscribe(f"crm.state.{CONNECTION}.{JOB}", cb=show)
    await publish(nc)
    print("job", JOB)

    rows, page = 0, 1
    job = (await ask(nc, "jobs.get", {"job_id": JOB}))["job"]
    while True:
        request = json.dumps({"job_id": JOB, "page": page}).encode()
        result = await nc.request(f"crm.jobs.results.request.{CONNECTION}", request, timeout=35)
        headers = result.headers or {}
        if headers.get("Crm-Error-Code") == "not_found" and "Crm-Page" not in headers:
            # It has not come yet, unless the job had brought it, or had ended, before it was asked for.
            if job["pages"] >= page or job["finished_at"]:
                raise RuntimeError(f"page {page} is not there: the job is {job['state']}")
            await asyncio.sleep(0.5)
            job = (await ask(nc, "jobs.get", {"job_id": JOB}))["job"]
            continue
        accounts = read(result)["accounts"]  # raises the error that a failed job ends with
        if not job.get("incarnation"):
            job = (await ask(nc, "jobs.get", {"job_id": JOB}))["job"]
        if headers.get("Crm-Incarnation") != job["incarnation"]:
            raise RuntimeError("these are not the results of this job")
        rows += len(accounts)
        if headers.get("Crm-Last") == "true":
            break
        page += 1  # keep it: after a crash the results go on here
    print(rows, "accounts")
    await ask(nc, "jobs.delete", {"job_id": JOB})  # gives the room back


run(main)
