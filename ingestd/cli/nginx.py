"""`ingestd nginx`: generates nginx's part of the sources, with which it answers while no instance does.

Two files that the site (nginx/ingestd.conf) includes: `http.conf` (maps, the spill log's format, the zones of
the limits) and `server.conf` (limits, and the replies as named locations). Without sources they are the
generic pair that is shipped: every path is taken, every reply is `200 ok`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from ingestd import config
from ingestd.cli import spill_log
from ingestd.cli.options import config_option
from ingestd.config.source import OverloadConfig, ReplyConfig, SourceConfig
from ingestd.errors import IngestdError
from ingestd.system import durable

SPILL = "/var/log/nginx/ingestd.spill"
SWITCH = "/run/ingestd/no-spill"
RATE = 20_000
REQUESTS = 256
# Requests in flight of all sources; fewer than the backlog of one instance (net.core.somaxconn, 4096).
ALL_REQUESTS = 3000
FILES = ("http.conf", "server.conf")
# The headers that most often hold a signature or a token, for the generic pair.
USUAL_HEADERS = ("Authorization", "X-Signature", "X-Token")
_REDIRECTS = (301, 302, 303, 307, 308)
# Within these nginx's default sizes suffice: map_hash_max_size 2048, and a bucket of one cache line.
_HASH_ROWS, _HASH_KEY = 1024, 40
_VARIABLE = re.compile(r"[A-Za-z0-9_-]+")


@click.command("nginx")
@config_option
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Write http.conf and server.conf into this directory. Default: print them.",
)  # fmt: skip
@click.option("--spill", default=SPILL, show_default=True, help="The spill log.")
@click.option(
    "--rate", type=click.IntRange(1), default=RATE, show_default=True,
    help="Requests a second that nginx passes to one source; a burst may be a second's worth.",
)  # fmt: skip
@click.option(
    "--requests", type=click.IntRange(1), default=REQUESTS, show_default=True,
    help="Requests of one source in flight; about a fiftieth of what the instances take in a second.",
)  # fmt: skip
def command(config_path: Path, directory: Path | None, spill: str, rate: int, requests: int) -> None:
    """Generate nginx's replies, limits and spill log format.

    Run it after every change of the sources. It covers nginx's answers while no instance responds, the limits
    by source, and the log of the requests that were answered meanwhile.

    \b
    Example:
      ingestd nginx -c /etc/ingestd/ingestd.toml -o /etc/nginx/ingestd
    """
    settings = config.load(config_path)
    texts = (http_part(settings.source, spill_format(settings.source), rate),
             server_part(settings.source, spill, rate, requests))  # fmt: skip
    for name, text in zip(FILES, texts, strict=True):
        if directory is None:
            click.echo(f"# ---- {name}\n{text}", nl=False)
            continue
        try:
            durable.atomic_write(directory / name, text.encode(), 0o644)
        except OSError as error:
            raise IngestdError(f"{directory / name}: {error.strerror}") from error
        click.echo(f"{directory / name} written; nginx -t && systemctl reload nginx", err=True)


def http_part(sources: Sequence[SourceConfig], log_format: str, rate: int = RATE) -> str:
    """The text of http.conf, for the inside of http { }. `rate`: requests a second for each source."""
    busy_of, methods = _choices(sources)
    return f"""\
# Made by `ingestd nginx`. Goes inside http {{ }}; nginx/ingestd.conf includes it.
{_hash_sizes(sources)}
# A literal dollar and an empty text, which nginx cannot write in a reply otherwise.
geo $ingestd_dollar {{ default "$"; }}
geo $ingestd_nothing {{ default ""; }}

# The source of a request, by its raw path as ingestd sees it: the longest path of a source takes it.
{_source_maps(sources)}
# The source's overload reply, and its success reply. A method the source does not accept, or a path of no
# source, gets no success.
map $ingestd_source $ingestd_busy {{
{_block(["default @ingestd_busy_0;", *busy_of])}
}}
map "$request_method $ingestd_source" $ingestd_taken {{
{_block(["default $ingestd_busy;", *methods])}
}}

# A body that nginx buffered in a file is not in $request_body, so the request cannot be spilled.
map $request_body_file $ingestd_spill_to {{
    "" $ingestd_taken;
    default $ingestd_busy;
}}

# A HEAD is sent by a link checker and holds no event.
map $request_method $ingestd_counts {{
    HEAD 0;
    default 1;
}}

{log_format}

# Limits for each source: requests a second, and requests in flight; the latter also for all sources together.
limit_req_zone $ingestd_source zone=ingestd_rate:1m rate={rate}r/s;
limit_conn_zone $ingestd_source zone=ingestd_requests:1m;
limit_conn_zone $hostname zone=ingestd_all:32k;
"""


def _source_maps(sources: Sequence[SourceConfig]) -> str:
    """Maps from a request to `=` and its source's name, or to `=` if no source takes it.

    A request costs as many look-ups as the paths have different numbers of segments, however many sources
    there are: its first segments are cut off and looked up in a hash table. nginx's tables ignore case and
    paths do not, so the cut excludes capitals. A path with capitals is a regular expression, tried by itself.
    """
    by_depth: dict[int, list[SourceConfig]] = {}
    for one in sources:
        by_depth.setdefault(one.path.count("/"), []).append(one)
    looks: list[
        tuple[str, list[str]]
    ] = []  # what is looked up, and the rows; each map falls back on the last
    cuts = []
    for depth, group in sorted(by_depth.items()):
        odd = [_row(rf"~^{re.escape(one.path)}(?:[/?]|$)", one) for one in group if _has_capitals(one)]
        plain = [_row(one.path, one) for one in group if not _has_capitals(one)]
        if odd:
            looks.append(("$request_uri", odd))
        if plain:
            cut = rf"~^(?<ingestd_cut_{depth}>(?:/[^/?A-Z]*){{{depth}}})(?:[/?]|$)"
            start = f"$ingestd_start_{depth}"
            cuts.append(_map("$request_uri", start, '""', [f'"{cut}" $ingestd_cut_{depth};']))
            looks.append((start, plain))
    maps, last = [], '"="'
    for number, (key, rows) in enumerate(looks or [("$request_uri", [])], 1):
        variable = "$ingestd_source" if number >= len(looks) else f"$ingestd_source_{number}"
        maps.append(_map(key, variable, last, rows))
        last = variable
    return "\n".join([*cuts, *maps])


def _has_capitals(source: SourceConfig) -> bool:
    return source.path != source.path.lower()


def _row(key: str, source: SourceConfig) -> str:
    return f"{_key(key)} {_quoted('=' + source.name)};"


def _map(key: str, variable: str, default: str, rows: Sequence[str]) -> str:
    return f"map {key} {variable} {{\n{_block([f'default {default};', *rows])}\n}}\n"


def _hash_sizes(sources: Sequence[SourceConfig]) -> str:
    """Sizes for large maps: by default nginx warns at 2,048 rows and fails at a long key."""
    rows = max((len(sources), sum(len(one.methods) + 1 for one in sources)))
    longest = max((len(text) for one in sources for text in (one.path, f"OPTIONS ={one.name}")), default=0)
    lines = []
    if rows > _HASH_ROWS:
        lines.append(f"map_hash_max_size {1 << (2 * rows).bit_length()};")
    if longest > _HASH_KEY:
        lines.append(f"map_hash_bucket_size {1 << (longest + 2 * 16).bit_length()};")
    return "".join(f"{line}\n" for line in lines)


def _choices(sources: Sequence[SourceConfig]) -> tuple[list[str], list[str]]:
    """The rows of the two maps, from a source to its overload reply and to its success reply."""
    busy, taken = _numbered(sources)
    busy_of = [f"{_quoted('=' + one.name)} @ingestd_busy_{busy[_busy(one.on_overload)]};" for one in sources]
    methods = [
        f"{_quoted(f'{method} ={one.name}')} @ingestd_taken_{taken[_success(one.reply)]};"
        for one in sources
        for method in (*one.methods, "HEAD")
    ]
    if not sources:
        methods = [f'"{method} =" @ingestd_taken_0;' for method in ("GET", "POST", "HEAD")]
    return busy_of, methods


def server_part(
    sources: Sequence[SourceConfig], spill: str = SPILL, rate: int = RATE, requests: int = REQUESTS
) -> str:
    """The text of server.conf, for the inside of server { }. `requests`: in flight, for each source."""
    busy, taken = _numbered(sources)
    locations = [_location(f"@ingestd_busy_{number}", text) for text, number in busy.items()]
    kept = f"if (-e {SWITCH}) {{ return 503; }}\naccess_log {_key(spill)} ingestd_spill if=$ingestd_counts;\n"
    locations += [_location(f"@ingestd_taken_{number}", kept + text) for text, number in taken.items()]
    replies = "\n".join(locations)
    return f"""\
# Made by `ingestd nginx`. Goes inside server {{ }}; nginx/ingestd.conf includes it.

# Above these limits a source gets its own overload reply. Requests in flight wait: their number divided by
# what the instances take in a second is how long. All sources' are fewer than the backlog of one instance: a
# full backlog is a 502, and the surge would go into the spill log.
limit_req zone=ingestd_rate burst={rate} nodelay;
limit_req_status 429;
limit_conn ingestd_requests {requests};
limit_conn ingestd_all {ALL_REQUESTS};
limit_conn_status 429;
# A line in the error log for each refusal would cost more than the refusal, and would hold device ids.
limit_req_log_level info;
limit_conn_log_level info;

# Responses of ingestd itself, 503 among them, are passed on unchanged; these are nginx's own errors.
# 502, 504: no instance answered, so the request is spilled.
recursive_error_pages on;
error_page 429 503 = $ingestd_busy;
error_page 502 504 = $ingestd_spill_to;

# {SWITCH}: while this file exists nginx spills nothing and sends the overload reply.
# Create it before the disk of the spill log is full: nginx writes the line after the reply, too late to take
# the reply back.
{replies}"""


def spill_format(sources: Sequence[SourceConfig]) -> str:
    """The spill log's format, with every header by which a source is verified."""
    named = [one.signature.header for one in sources if one.signature.verifies and one.signature.header]
    names = dict.fromkeys(named if sources else USUAL_HEADERS)
    extras = [f"{name}:$http_{name.lower().replace('-', '_')}" for name in names if _VARIABLE.fullmatch(name)]
    fields = [spill_log.MARK.decode(), *spill_log.FIELDS, *extras, spill_log.END.decode()]
    lines = "\n".join(f"    '{field}\\t'" for field in fields[:-1])
    return f"log_format ingestd_spill escape=default\n{lines}\n    '{fields[-1]}';"


def _numbered(sources: Sequence[SourceConfig]) -> tuple[dict[str, int], dict[str, int]]:
    """The distinct replies, each with its number; the first overload reply is also for unknown paths."""
    busy = dict.fromkeys([_busy(OverloadConfig()), *(_busy(one.on_overload) for one in sources)])
    taken = dict.fromkeys([_success(one.reply) for one in sources] or [_success(ReplyConfig())])
    return {text: n for n, text in enumerate(busy)}, {text: n for n, text in enumerate(taken)}


def _busy(overload: OverloadConfig) -> str:
    retry = f"add_header Retry-After {overload.retry_after} always;\n" if overload.retry_after else ""
    return retry + _return(overload.status, overload.body, "text/plain")


def _success(reply: ReplyConfig) -> str:
    no_store = "add_header Cache-Control no-store always;\n"
    if reply.redirect is not None and reply.redirect.fallback:  # nginx cannot decode the address asked for
        return f"{no_store}return {reply.redirect.status} {_quoted(reply.redirect.fallback)};\n"
    if reply.pixel:  # the module answers no POST
        empty = 'if ($request_method = POST) { return 200 "$ingestd_nothing"; }\n'
        return f"{no_store}types {{ }}\ndefault_type image/gif;\n{empty}empty_gif;\n"
    return _return(reply.status, reply.body, reply.content_type)


def _return(status: int, body: str, content_type: str) -> str:
    if status in (204, 304):
        return f"return {status};\n"
    if status in _REDIRECTS:  # nginx would take the body for an address
        status = 200
    # Without types { } the end of a request's path would choose the type.
    text = _quoted(body) if body else '"$ingestd_nothing"'
    return f"types {{ }}\ndefault_type {_quoted(content_type)};\nreturn {status} {text};\n"


def _location(name: str, text: str) -> str:
    return f"location {name} {{\n{_block(text.splitlines())}\n}}\n"


def _block(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _key(text: str) -> str:
    """A quoted word where nginx does not expand variables."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _quoted(text: str) -> str:
    """A quoted text where nginx expands variables."""
    return _key(text.replace("$", "${ingestd_dollar}"))
