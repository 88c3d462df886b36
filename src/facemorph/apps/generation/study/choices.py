"""Names of a study's files; this module loads nothing heavy."""

from __future__ import annotations

PAGE, QUESTIONS, KEY = "study.html", "questions.csv", "key.json"
REPORT, PLOT = "report.json", "results.svg"
