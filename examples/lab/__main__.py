"""Start the lab: python -m examples.lab [--bootstrap host:9092] [--port 8080]."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from types import FrameType

import uvicorn

from aioproducer.testing import ClusterStartError, KafkaUnavailableError
from aioproducer.testing.where import BOOTSTRAP_VARIABLE, VERSIONS, start_kafka
from examples.lab.app import make_app
from examples.lab.service import PATIENCE


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.lab", description=__doc__)
    parser.add_argument(
        "--bootstrap",
        default=os.environ.get(BOOTSTRAP_VARIABLE),
        help=f"a cluster, which need not be there yet; {BOOTSTRAP_VARIABLE} is the default, and"
        " without both the lab starts the best cluster that is to be had here",
    )
    parser.add_argument("--kafka-version", choices=VERSIONS, default=None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="for how long a button waits for a cluster that does not answer (default: 3)",
    )
    arguments = parser.parse_args()
    # uvicorn raises the signal again when it is done; without this the cluster would be left.
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        bootstrap, create_topic = arguments.bootstrap, None
        if bootstrap is None:
            try:
                found = start_kafka(arguments.kafka_version)
            except (KafkaUnavailableError, ClusterStartError) as error:
                print(error, file=sys.stderr)
                return 1
            stack.callback(found.cluster.stop)
            for reason in found.passed_over:
                print(f"passed over: {reason}")
            print(found.cluster.describe(), flush=True)
            bootstrap, create_topic = found.cluster.bootstrap_servers, found.cluster.create_topic
        print(f"the lab: http://{arguments.host}:{arguments.port}/", flush=True)
        uvicorn.run(
            make_app(bootstrap, create_topic, arguments.patience),
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
            timeout_graceful_shutdown=15,
        )
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
