"""What perf says is read, and put into rooms."""

from __future__ import annotations

from benchmarks.profile import read_symbols, rooms_table, symbols_table

REPORT = """
  8.56%  ;libpython3.11.so.1.0        ;[.] _PyEval_EvalFrameDefault     ;-      -
 12.50%  ;[kernel.kallsyms]           ;[k] do_syscall_64                ;-      -
 3.04%  ;libpython3.11.so.1.0         ;[.] gc_collect_main              ;-      -
 2.00%  ;batch.cpython-311-x86_64-linux-gnu.so  ;[.] __pyx_f_11aioproducer_4core_5batch_append  ;- -
 1.00%  ;_crc32c.cpython-311-x86_64-linux-gnu.so  ;[.] _crc32c_hw_adler
something else
"""


def test_functions_come_with_the_most_first() -> None:
    symbols = read_symbols(REPORT.splitlines())
    assert [(symbol.name, symbol.percent) for symbol in symbols[:2]] == [
        ("do_syscall_64", 12.5),
        ("_PyEval_EvalFrameDefault", 8.56),
    ]
    assert len(symbols) == 5


def test_each_function_is_in_a_room() -> None:
    rooms = {
        symbol.name.split("_")[-1]: symbol.room for symbol in read_symbols(REPORT.splitlines())
    }
    assert rooms == {
        "64": "kernel",
        "EvalFrameDefault": "interpreter",
        "main": "garbage collection",
        "append": "compiled hot files",
        "adler": "_crc32c",
    }


def test_the_tables_add_up() -> None:
    symbols = read_symbols(REPORT.splitlines())
    assert "| interpreter        |  8.6 |" in rooms_table(symbols)
    assert len(symbols_table(symbols, 2).splitlines()) == 4
