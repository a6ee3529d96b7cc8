"""The benchmark's nginx passes requests on as the configuration users install does."""

from __future__ import annotations

import pytest

from bench.front import PRODUCTION, production_location
from bench.procs import BenchError


def test_every_header_production_sets_is_set_in_the_benchmark() -> None:
    """What nginx/ingestd.conf says of a click is what is measured."""
    text = PRODUCTION.read_text("utf-8")
    found = production_location(text)
    location = text.partition("    location / {")[2]
    assert "proxy_set_header" in found
    assert found.count("proxy_set_header") == location.count("proxy_set_header")
    assert "proxy_pass http://ingestd;" in found


def test_no_request_is_sent_twice_in_the_benchmark() -> None:
    """Production sends a request again where an instance ends; here that would hide a refusal."""
    assert "proxy_next_upstream" not in production_location(PRODUCTION.read_text("utf-8"))


def test_a_configuration_without_the_location_is_an_error() -> None:
    """Not a benchmark of something else."""
    with pytest.raises(BenchError, match="no location /"):
        production_location("server {\n    location /x {\n    }\n}\n")
