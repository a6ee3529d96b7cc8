"""Profiles: shipped ones are whole, one's own extend them, and every mistake is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ingestd import config
from ingestd.config import profiles
from ingestd.config.source import SourceConfig
from ingestd.errors import ConfigError
from ingestd.sources import links
from tests.support.desk import Desk

SHIPPED = sorted(path.name.removesuffix(".toml") for path in profiles.SHIPPED.glob("*.toml"))
DESIGN = {
    "ocean", "kuaishou", "tencent", "tencent_legacy", "baidu", "weibo", "bilibili", "uc", "oppo", "vivo",
    "xiaomi", "huawei", "adjust", "appsflyer", "postback", "generic",
    "xingtu", "juxing", "tencent_impression", "xiaohongshu", "zhihu", "iqiyi", "qihoo360", "wifi",
    "oppo_feed", "honor", "huawei_harmony", "mintegral", "singular", "apple_aak", "apple_skan", "admob",
    "levelplay",
}  # fmt: skip


def parse(text: str, place: Path = Path()) -> config.Config:
    return config.parse(tomllib.loads(text), str(place / "ingestd.toml"), {})


def source(profile: str, more: str = "", place: Path = Path(), ingest: str = "") -> SourceConfig:
    return parse(f'{ingest}\n[[source]]\nname="x"\npath="/c/x"\nprofile="{profile}"\n{more}', place).source[0]


def test_every_platform_has_a_profile() -> None:
    assert set(SHIPPED) == DESIGN
    assert profiles.Profiles().names == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_is_valid_names_its_sources_and_what_is_not_confirmed(name: str) -> None:
    settings = source(name)
    text = (profiles.SHIPPED / f"{name}.toml").read_text()
    if name != "generic":
        assert settings.unconfirmed
        assert settings.title
        assert re.search(r"^# Sources?:", text, re.MULTILINE), "says where it is from"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_s_link_brings_what_the_profile_reads(name: str, tmp_path: Path) -> None:
    settings = source(name)
    assert links.missing(settings) == {}
    for param in (settings.ip_param, settings.ua_param, *settings.mandatory):
        assert not settings.link or param in (*settings.link, "")


def test_a_source_overrides_its_profile_key_by_key() -> None:
    settings = source(
        "baidu", 'reply = { body = "fine" }\nsignature.param = "s"\nlink.sign = ""\nlink.s = "__SIGN__"'
    )
    assert (settings.reply.status, settings.reply.body) == (200, "fine")
    assert (settings.signature.kind, settings.signature.param) == ("md5_url_key", "s")
    assert (settings.link["sign"], settings.link["s"], settings.link["ts"]) == ("", "__SIGN__", "__TS__")


def test_another_kind_of_signature_starts_anew() -> None:
    settings = source("postback", 'signature = { kind = "none" }')
    assert (settings.signature.kind, settings.signature.param) == ("none", "sign")


OWN = '[ingest]\nprofile_directory = "mine"'


def own(place: Path, **files: str) -> None:
    (place / "mine").mkdir()
    for name, text in files.items():
        (place / "mine" / f"{name}.toml").write_text(text)


def test_a_profile_of_one_s_own_stands_alone_or_extends(tmp_path: Path) -> None:
    own(
        tmp_path,
        ours='title = "ours"\ndedup = ["id"]',
        ours_too='extends = "ours"\nreply.body = "1"',
        ocean_eu='extends = "ocean"\nreply.body = "eu"\nlink.region = "eu"',
    )
    alone = source("ours", place=tmp_path, ingest=OWN)
    assert (alone.title, alone.dedup, alone.event_time) == ("ours", ("id",), None)
    third = source("ours_too", place=tmp_path, ingest=OWN)
    assert (third.dedup, third.reply.body) == (("id",), "1")
    extended = source("ocean_eu", place=tmp_path, ingest=OWN)
    assert (extended.reply.body, extended.dedup) == ("eu", ("callback_param", "request_id"))
    assert extended.link["region"] == "eu"


def test_a_profile_of_a_shipped_one_s_name_is_laid_over_it(tmp_path: Path) -> None:
    own(tmp_path, xiaomi='reply.body = "corrected"')
    settings = source("xiaomi", place=tmp_path, ingest=OWN)
    assert (settings.reply.body, settings.reply.content_type) == ("corrected", "application/json")


def test_a_shipped_profile_may_extend_another_and_one_s_own_is_laid_over_both(tmp_path: Path) -> None:
    shipped = source("xingtu")
    assert (shipped.title, shipped.dedup) == ("Xingtu (巨量星图)", ("callback_param", "request_id"))
    assert {"order_id", "callback_param"} <= shipped.link.keys()
    own(tmp_path, ocean='reply.body = "below"', xingtu='link.order_id = ""\ntitle = "ours"')
    ours = source("xingtu", place=tmp_path, ingest=OWN)
    assert (ours.title, ours.reply.body, ours.link["order_id"]) == ("ours", "below", "")


@pytest.mark.parametrize(
    ("files", "used", "problem"),
    [
        ({}, "oceam", r"source\[0\].profile: unknown profile 'oceam'; did you mean 'ocean'\?"),
        ({"a": 'extends = "b"', "b": 'extends = "a"'}, "a", "extends itself: a > b"),
        ({"a": 'extends = "nothing"'}, "a", "profile 'a' extends an unknown one"),
        ({"a": "x = = 1"}, "a", "profile 'a': Invalid value"),
        ({"a": 'repply = "x"'}, "a", "profile a: unknown key 'repply'; did you mean 'reply'"),
        ({"a": 'path = "/x"'}, "a", "profile a: unknown key 'path'"),
        ({"ocean": 'extends = "baidu"'}, "ocean", "laid over the shipped 'ocean' already"),
        ({"a": 'type = "klick"'}, "a", r"source\[0\].type"),
    ],
)
def test_a_mistake_in_a_profile_is_named(
    tmp_path: Path, files: dict[str, str], used: str, problem: str
) -> None:
    own(tmp_path, **files)
    with pytest.raises(ConfigError, match=problem):
        source(used, place=tmp_path, ingest=OWN)


def test_a_profile_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.profile_directory: .*mine: No such file"):
        source("ocean", place=tmp_path, ingest=OWN)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('signature = { kind = "md5_concat", key_file = "k" }', "md5_concat needs params"),
        ('signature = { kind = "hmac_sha256_body", key_file = "k" }', "header is not named"),
        ('signature = { kind = "token", place = "header", key_file = "k" }', "header is not named"),
        ('signature = { kind = "token", time_param = "ts", max_age = "1h" }', "signs no parameter"),
        ('signature = { kind = "hmac_sha256_url", time_param = "ts" }', "time_param and max_age go together"),
        (
            'signature = { kind = "md5_concat", params = ["a"], expires_param = "ts" }',
            "a time that is not signed proves nothing",
        ),
        ('signature = { kind = "md5_url_key", key_file = "" }', "given by the name of its file"),
        ('signature = { kind = "md5_url_key", key = "abc" }', "unknown key"),
        ('on_bad_signature = "reject"', "needs something to verify"),
        ('on_bad_signature = "dead_letter"', "needs something to verify"),
        ('privacy = { a = "hmac" }', "privacy_key_file"),
        ('privacy = { a = "md5" }', "privacy.a"),
        ("max_rate = -1", "max_rate"),
        ("dedup_window = 100000000", "dedup_window"),
        ('event_time = { param = "" }', "event_time.param"),
    ],
)
def test_a_source_that_cannot_work_is_refused(more: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        source("generic", more)


def test_a_signed_url_needs_to_know_the_public_base() -> None:
    with pytest.raises(ConfigError, match=r'ingest\.public_base: is missing.*write public_base = "https://'):
        source("baidu", 'signature.key_file = "k"')
    for bad in ("click.example.com", "https://click.example.com/", "ftp://x"):
        with pytest.raises(ConfigError, match=r"ingest\.public_base"):
            source("generic", ingest=f'[ingest]\npublic_base = "{bad}"')


def test_sources_of_all_profiles_work_side_by_side() -> None:
    text = "\n".join(f'[[source]]\nname="{one}"\npath="/c/{one}"\nprofile="{one}"' for one in SHIPPED)
    desk = Desk(text)
    for name in SHIPPED:
        assert desk.take(f"/c/{name}/app?a=1").event["source"] == name
