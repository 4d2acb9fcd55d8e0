"""The local server with the waits of provider's batches cut to a second or two: what takes minutes
there is looked at as soon as the sandbox is done. Nothing else differs from `python -m functions`.
"""

from __future__ import annotations

from datetime import timedelta

from functions.__main__ import serve
from shared import batch_jobs, batch_steps

batch_jobs.FIRST_LOOK = timedelta(seconds=1)
batch_jobs.LONGEST_LOOK = timedelta(seconds=2)
batch_jobs.BLIND = timedelta(seconds=1)
batch_jobs.UNSEEN = timedelta(seconds=2)
batch_jobs.REST = timedelta(seconds=1)
batch_steps.RETRY = timedelta(seconds=1)

if __name__ == "__main__":
    serve()
