"""Verifies calls of webhooks with a library of Standard Webhooks: standard.py WORK LIBRARY prints a line for each case.

The library is `standardwebhooks`, or `svix`, which wraps it.
"""

import datetime
import json
import pathlib
import sys

import standardwebhooks.webhooks
import svix.webhooks

from report import cases_of

WORK, LIBRARY = pathlib.Path(sys.argv[1]), sys.argv[2]
WEBHOOK = {"standardwebhooks": standardwebhooks.Webhook, "svix": svix.webhooks.Webhook}[LIBRARY]
late = 0


class Clock(datetime.datetime):
    """A clock by which calls arrive late."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=late)


def main():
    global late
    standardwebhooks.webhooks.datetime = Clock
    for name in cases_of(LIBRARY, WORK):
        folder = WORK / "cases" / name
        late = int((folder / "late").read_text()) if (folder / "late").exists() else 0
        webhook, headers = WEBHOOK((folder / "secret").read_text()), json.loads((folder / "headers").read_text())
        try:
            webhook.verify((folder / "body").read_bytes(), headers)
        except standardwebhooks.WebhookVerificationError as refused:
            print(name, "refused", refused)
        else:
            print(name, "accepted")


main()
