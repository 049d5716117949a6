"""The Celery worker that is measured, with the settings of a competent operator (bench/README.md)."""

import json
import os
import time

import requests
from celery import Celery
from celery.exceptions import Reject
from kombu import Queue
from requests.adapters import HTTPAdapter

JOB = json.loads(os.environ["BENCH_JOB"])
WAIT_S = 5
TIMEOUT_S = 15
QUEUE = JOB["queue"] + ".celery"

SETTINGS = {
    "broker_url": JOB["broker"],
    "broker_connection_retry_on_startup": True,
    "task_ignore_result": True,
    # An order is acknowledged when it is done, and comes back when its process dies.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # What is reserved and not begun waits for whatever its process does first.
    "worker_prefetch_multiplier": 1,
    "task_queues": [
        Queue(QUEUE, exchange="", routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})
    ],
    "task_default_queue": QUEUE,
    # Quorum queues have no global prefetch, which Celery would ask for.
    "worker_detect_quorum_queues": True,
    "worker_enable_remote_control": False,
    "worker_redirect_stdouts": False,
    "worker_hijack_root_logger": False,
}

_session = None


def session():
    """One a process, made after the fork, with a socket for each call in flight."""
    global _session
    if _session is None:
        _session = requests.Session()
        adapter = HTTPAdapter(pool_connections=16, pool_maxsize=JOB["concurrency"])
        _session.mount("http://", adapter)
        _session.mount("https://", adapter)
    return _session


def mark(began, ended):
    line = {"at": "orders", "began": began, "ended": ended, "ms": time.time() * 1000}
    os.write(1, (json.dumps(line, separators=(",", ":")) + "\n").encode())


def post(merchant_id, key, body):
    answer = session().post(
        JOB["url"].replace("{merchantId}", merchant_id),
        data=body.encode(),
        headers={"content-type": "application/json", "idempotency-key": key},
        timeout=TIMEOUT_S,
        allow_redirects=False,
    )
    answer.raise_for_status()


def wait(_merchant_id, _key, _body):
    time.sleep(WAIT_S)


def noop(_merchant_id, _key, _body):
    pass


work = {"post": post, "wait": wait, "noop": noop}[os.environ["BENCH_DOES"]]
app = Celery("bench")
app.conf.update(SETTINGS)


@app.task(name="bench.deliver")
def deliver(merchant_id, key, body):
    # Where merchants are called, they tell how many answers there were.
    if work is post:
        try:
            post(merchant_id, key, body)
        except requests.RequestException as error:
            # Back to the queue, as in the consumer by hand; a failed task would be acknowledged and gone.
            raise Reject(error, requeue=True)
        return
    mark(1, 0)
    work(merchant_id, key, body)
    mark(0, 1)
