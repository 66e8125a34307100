"""The tests mirror the package: whoever looks for the tests of a module knows where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aioproducer"
TESTS = ROOT / "tests"

# Where the tests of a module are, if not in the place that its name tells.
ELSEWHERE = {
    "__main__.py": "tests/cli/test_demo.py",
    "cli/common_options.py": "tests/cli/test_app.py",
    "cli/demo.py": "tests/cli/test_demo.py",
    "doctor/check.py": "tests/doctor/test_examination.py",
    "doctor/cluster_checks.py": "tests/doctor/test_checks.py",
    "doctor/config_checks.py": "tests/doctor/test_checks.py",
    "doctor/inquiry.py": "tests/integration/doctor/test_real_setups.py",
    "awaitable.py": "tests/test_delivery.py",
    "config_rules.py": "tests/test_config.py",
    "config_table.py": "tests/test_config_reference.py",
    "config_values.py": "tests/test_config.py",
    "integrations/aiohttp.py": "tests/integration/integrations/test_aiohttp.py",
    "integrations/faststream.py": "tests/integration/integrations/test_faststream.py",
    "many.py": "tests/test_producer_unit.py",
    "options.py": "tests/test_config_reference.py",
    "compat/aiokafka/error_names.py": "tests/compat/aiokafka/test_errors.py",
    "compat/aiokafka/installed.py": "tests/compat/aiokafka/test_errors.py",
    "patterns/portal_jobs.py": "tests/patterns/test_thread_portal.py",
    "patterns/portal_session.py": "tests/patterns/test_thread_portal.py",
    "patterns/circuit_guards.py": "tests/patterns/test_circuit_breaker.py",
    "patterns/dead_letter_cases.py": "tests/patterns/test_dead_letters.py",
    "patterns/circuit_changes.py": "tests/patterns/test_circuit_breaker.py",
    "patterns/leaders.py": "tests/patterns/test_circuit_breaker.py",
    "patterns/letter_delivery.py": "tests/patterns/test_wrapper.py",
    "patterns/pool_members.py": "tests/patterns/test_transactional_pool.py",
    "producer.py": "tests/test_producer_unit.py",
    "transactional.py": "tests/runtime/test_transactional.py",
    "version.py": "tests/test_exports.py",
    "send_path.py": "tests/test_producer_unit.py",
    "cli/load.py": "tests/cli/test_demo.py",
    "cli/perf_clients.py": "tests/integration/cli/test_perf_command.py",
    "runtime/intake.py": "tests/runtime/test_intake.py",
    "runtime/timers.py": "tests/runtime/test_broker_connection.py",
}

# What only runs with processes and sockets is tested with them.
WITH_CLUSTERS = ("testing/",)


def modules() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if path.name != "__init__.py" and not name.startswith(WITH_CLUSTERS):
            found.append(name)
    return found


@pytest.mark.parametrize("module", modules())
def test_each_module_has_its_tests(module: str) -> None:
    place = TESTS / module
    expected = place.with_name(f"test_{place.name}")
    if module in ELSEWHERE:
        assert not expected.exists() or expected == ROOT / ELSEWHERE[module]
        expected = ROOT / ELSEWHERE[module]
    assert expected.is_file(), f"{module} has no tests at {expected.relative_to(ROOT)}"


@pytest.mark.parametrize("module", sorted(ELSEWHERE))
def test_each_exception_is_a_module(module: str) -> None:
    assert (PACKAGE / module).is_file()


def test_each_folder_of_tests_is_a_package() -> None:
    for folder in {path.parent for path in TESTS.rglob("test_*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_the_architecture_names_every_file_of_the_package() -> None:
    """A newcomer who wonders what a file is for finds it there."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = {path.name for path in (ROOT / "aioproducer").rglob("*.py")} - {"__init__.py"}
    assert {name for name in files if f"`{name}" not in text and f"/{name}" not in text} == set()
