"""Makes the calls of a scenario through one published Python SDK.

`PYTHONPATH=<the SDK> python drive.py <module>` with the scenario as a line of JSON on standard
input; after `hold` calls it waits for a second line. Prints as JSON what the SDK gave up.
"""

import importlib
import inspect
import json
import sys
from datetime import datetime
from typing import Any

ARGUMENTS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "previousId": "previous_id",
    "groupId": "group_id",
}


def main() -> None:
    scenario = json.loads(sys.stdin.readline())
    failed: list[str] = []

    def give_up(error: Exception, batch: Any) -> None:
        failed.append(f"{type(error).__name__}: {error}"[:300])

    made = importlib.import_module(sys.argv[1]).Client
    taken = inspect.signature(made).parameters
    size, interval = "upload_size", "upload_interval"
    if size not in taken:  # as they were called at first
        size, interval = "flush_at", "flush_interval"
    packed = {"gzip": scenario["gzip"]} if "gzip" in taken else {}
    client = made(
        scenario["writeKey"],
        host=scenario["host"],
        on_error=give_up,
        max_retries=scenario["retries"],
        **packed,
        **{size: scenario["batch"], interval: 0.2},
    )
    for number, call in enumerate(scenario["calls"]):
        if number == scenario["hold"]:
            sys.stdin.readline()
        named = {ARGUMENTS.get(name, name): value for name, value in call.items()}
        kind = named.pop("type")
        if "timestamp" in named:
            named["timestamp"] = datetime.fromisoformat(named["timestamp"])
        getattr(client, kind)(**named)
    client.flush()
    client.shutdown()
    print(json.dumps({"failed": failed}))  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()
