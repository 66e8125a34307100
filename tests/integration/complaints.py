"""What a process has to complain of, beside the moment that its machine or the cluster had."""

from __future__ import annotations

import re

# Said when a loop was held up, a broker was lost for a while, or a partition found a new leader:
# by this producer, by librdkafka (`%5|...|REQTMOUT|...`) and by aiokafka, which names no logger.
_PASSING = re.compile(
    r"the event loop stood still|; still trying$|^Executing .* took |^%\d\|"
    r"|^Got error produce response: |^(Could not|Cannot) send |^Unable (to|connect to) "
    r"|^Topic \S+ (is not available|not found)|^(Heartbeat|Error sending|Connect attempt) "
)


def complaints(stderr: str) -> list[str]:
    """Return the lines that nothing outside the process explains: none, if all is well."""
    return [line for line in stderr.splitlines() if not _PASSING.search(line)]
