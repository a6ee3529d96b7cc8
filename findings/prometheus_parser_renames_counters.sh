#!/usr/bin/env bash
# prometheus-client's parser of the text format renames a counter's samples, so that two series can become one.
#
# Version: prometheus-client 0.26.0. Python 3.11.7, Linux x86-64. Shown on 2026-12-01; exit status 1 if it is different.
#
# In the text format 0.0.4 a counter may have any name. `text_string_to_metric_families` appends `_total` to the name
# of a counter's sample that does not end so; the same sample without a TYPE line keeps its name. Where an exporter has
# a counter `requests` and another `requests_total`, the parser gives two samples of the name `requests_total` with
# different values, and nothing says which is which. A name that was parsed is not always one that can be queried.
#
# Output seen:
#   prometheus-client 0.26.0
#   a counter `requests`              -> requests_total 5
#   the same without its TYPE         -> requests 5
#   and a counter `requests_total`    -> requests_total 5, requests_total 7
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check prometheus-client==0.26.0
"$place/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

from prometheus_client.parser import text_string_to_metric_families

COUNTER = "# TYPE requests counter\nrequests 5\n"
OTHER = "# TYPE requests_total counter\nrequests_total 7\n"
TEXTS = {
    "a counter `requests`": (COUNTER, ["requests_total 5"]),
    "the same without its TYPE": ("requests 5\n", ["requests 5"]),
    "and a counter `requests_total`": (COUNTER + OTHER, ["requests_total 5", "requests_total 7"]),
}
print("prometheus-client", importlib.metadata.version("prometheus-client"))
same = True
for name, (text, expected) in TEXTS.items():
    families = text_string_to_metric_families(text)
    found = [f"{sample.name} {sample.value:g}" for family in families for sample in family.samples]
    print(f"{name:33} -> {', '.join(found)}")
    same &= found == expected
sys.exit(0 if same else 1)
PYTHON
