"""Tables of benchmarks keep their bars in both forms."""

from __future__ import annotations

from facemorph.bench.table import cases_by_figure, row


def rows(*given):
    return [vars(row(*one)) for one in given]


def test_a_line_for_each_case_keeps_the_bars():
    table = cases_by_figure(
        rows(
            ("one: time", 3.0, "s", "< 5"),
            ("one: size", 1.5, "GiB"),
            ("two: time", 9.0, "s", "< 5"),
            ("two: size", 2.0, "GiB", ">= 1"),
        )
    )
    assert table == [
        "| | time, s | size, GiB |",
        "|---|---|---|",
        "| one | 3 (`< 5` ok) | 1.5 |",
        "| two | 9 (`< 5` **missed**) | 2 (`>= 1` ok) |",
    ]


def test_rows_without_cases_stay_a_list():
    assert cases_by_figure(rows(("time", 3.0, "s", "< 5"), ("two: size", 2.0, "GiB"))) == []


def test_tables_that_would_be_mostly_empty_stay_long():
    rows = [
        {
            "name": f"case {index}: figure {index}",
            "value": 1.0,
            "unit": "s",
            "bar": None,
            "ok": None,
        }
        for index in range(6)
    ]
    rows += [{**one, "name": one["name"].replace("figure", "other")} for one in rows]
    assert cases_by_figure(rows) == []
    full = [
        {**rows[0], "name": f"case {case}: figure {figure}"}
        for case in range(3)
        for figure in range(3)
    ]
    assert len(cases_by_figure(full)) == 5
