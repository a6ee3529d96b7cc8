"""[[source]]: the feed of one ad platform. Its profile gives the defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from ingestd.config.types import Duration, Name, PublicBase, SecretFile, Section, one_or_list

Method = Literal["GET", "POST"]
Param = Annotated[str, StringConstraints(min_length=1)]
Params = Annotated[tuple[Param, ...], BeforeValidator(one_or_list)]
PrivacyAction = Literal["drop", "sha256", "hmac", "truncate_ip"]
MAX_KEYS = 32  # each costs a bad signature another hash
HMAC_OF_URL = ("hmac_sha256_url", "hmac_sha1_url")
BY_HEADER = ("hmac_sha256_body", "hmac_sha1_body")
OVER_QUERY = ("md5_url_key", "md5_concat", *HMAC_OF_URL)
APPLE_KINDS = ("apple_aak", "apple_skan")
PUBLIC_KEY_KINDS = (*APPLE_KINDS, "rsa_pss", "ecdsa_query")
MAX_WINDOW = 20_000_000


def _host(value: str) -> str:
    if "/" in value or ":" in value or not value.strip("."):
        raise ValueError(f'{value!r} is not a host; write "example.com", or ".example.com" for all below it')
    return value.lower()


Host = Annotated[str, AfterValidator(_host)]


class RedirectConfig(Section):
    """`reply.redirect`: a user's browser is redirected to the address in a parameter, if its host is allowed.

    `hosts`: names, or `.example.com` for every host below it. `fallback`: the address for a request whose own
    is missing or not allowed; "": the plain reply.
    """

    param: Param
    hosts: Annotated[tuple[Host, ...], BeforeValidator(one_or_list), Field(min_length=1)]
    fallback: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    status: Literal[301, 302, 303, 307, 308] = 302


class ReplyConfig(Section):
    """`reply`: the response to an event that is taken. `pixel`: its body is a transparent GIF, 1x1."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: str = "ok"
    content_type: Annotated[str, Field(pattern=r"^[!-~]+(; ?[!-~]+)*$")] = "text/plain"
    pixel: bool = False
    redirect: RedirectConfig | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.status in (204, 304) and self.body and not self.pixel:
            raise ValueError(f'a {self.status} has no body; write body = ""')
        if self.pixel and self.status in (204, 304):
            raise ValueError(f"a {self.status} has no body, so no pixel; leave status out")
        return self


class OverloadConfig(Section):
    """`on_overload`: the response to an event that cannot be taken now. `retry_after`: seconds."""

    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: str = "busy"
    retry_after: Annotated[int, Field(ge=0, le=86400)] = 1


class EventTimeConfig(Section):
    """`event_time`: the parameter with the platform's own time of the event, and its unit.

    An event is flagged `stale` or `future` if that differs from our clock by more; "0s": never.
    """

    param: Param
    unit: Literal["auto", "s", "ms"] = "auto"
    stale_after: Duration = "24h"  # type: ignore[assignment]
    future_after: Duration = "5m"  # type: ignore[assignment]


class SignatureConfig(Section):
    """`signature`: how a request proves that it is the platform's. Without a `key_file` nothing is verified.

    `md5_url_key`      md5(public URL less its `param`, then the key); `last`: `param` must end the query
    `md5_concat`       md5(the decoded values of `params`, then the key)
    `hmac_sha256_url`  HMAC of the public URL less its `param`, or (`covers = "target"`) of path and query
    `hmac_sha256_body` HMAC of the body as sent, in `header`, after `prefix`
    `hmac_sha1_url`, `hmac_sha1_body`  the same with SHA-1
    `token`            a fixed text, in the query's `param`, in `header`, or (`path`) the first segment
                       after the source's path
    `apple_aak`, `apple_skan`  Apple's postbacks, by Apple's keys; `test_keys`: those of development too
    `rsa_pss`          RSA-PSS over the JSON body's `params` that are there, in its `param`
    `ecdsa_query`      ECDSA over the query before its last two parameters, `param` and `key_id`; `params`:
                       all names that it may have

    The last four need no secret (sources/public_key_kinds.py): `public_keys` are keys by their ids, in base64
    or PEM, and a `key_file` holds more, in PEM or as AdMob's JSON.

    Where what is signed holds a time: `expires_param` names the parameter with the time it ends at,
    `time_param` the one it began at, and `max_age` how long it lasts; seconds or milliseconds.
    """

    kind: Literal[
        "none", "md5_url_key", "md5_concat", "hmac_sha256_url", "hmac_sha256_body", "hmac_sha1_url",
        "hmac_sha1_body", "token", "apple_aak", "apple_skan", "rsa_pss", "ecdsa_query",
    ] = "none"  # fmt: skip
    key_file: Annotated[tuple[SecretFile, ...], BeforeValidator(one_or_list)] = ()
    public_keys: Annotated[dict[str, str], Field(max_length=MAX_KEYS)] = Field(default_factory=dict)
    test_keys: bool = False
    param: Param = "sign"
    place: Literal["query", "header", "path"] = "query"
    header: str = ""
    prefix: str = ""
    params: Params = ()
    encoding: Literal["hex", "base64"] = "hex"
    covers: Literal["url", "target"] = "url"
    last: bool = True
    public_base: PublicBase = ""
    time_param: str = ""
    max_age: Duration = "0s"  # type: ignore[assignment]
    expires_param: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind in ("md5_concat", "rsa_pss") and not self.params:
            raise ValueError(f'{self.kind} needs params; write params = ["click_id", "payout"]')
        if not self.header and (self.kind in BY_HEADER or self.place == "header"):
            raise ValueError('the header is not named; write header = "X-Signature"')
        if self.public_keys and not self.by_public_key:
            raise ValueError(f"{self.kind} has no public keys; write key_file, or another kind")
        if self.test_keys and self.kind not in APPLE_KINDS:
            raise ValueError(f"{self.kind} has no test keys; leave test_keys out")
        if bool(self.time_param) != bool(self.max_age):
            raise ValueError('time_param and max_age go together; write time_param = "ts", max_age = "1h"')
        times = {self.time_param, self.expires_param} - {""}
        if self.kind == "rsa_pss" and self.expires_param:
            raise ValueError("rsa_pss has no expires_param; write time_param and max_age")
        if times and self.kind not in (*OVER_QUERY, "rsa_pss"):
            raise ValueError(f"{self.kind} signs no parameter, so no time; leave {', '.join(times)} out")
        if self.kind in ("md5_concat", "rsa_pss") and not times.issubset(self.params):
            raise ValueError(f"a time that is not signed proves nothing; add {', '.join(times)} to params")
        return self

    @property
    def verifies(self) -> bool:
        """Whether requests are verified: there is a scheme, and a key for it."""
        public = self.by_public_key and bool(self.public_keys or self.kind in APPLE_KINDS)
        return self.kind != "none" and (public or bool(self.key_file))

    @property
    def by_public_key(self) -> bool:
        """Whether it is verified by public keys: there is no secret, and it takes a thread of its own."""
        return self.kind in PUBLIC_KEY_KINDS

    @property
    def needs_base(self) -> bool:
        """Whether it is verified over the whole URL, so that the public scheme and host must be known."""
        whole = self.kind == "md5_url_key" or (self.kind in HMAC_OF_URL and self.covers == "url")
        return whole and self.verifies

    @property
    def covers_query(self) -> bool:
        """Whether it is verified over the raw query, which must be kept to verify it again later."""
        return self.verifies and self.kind in (*OVER_QUERY, "ecdsa_query")


class SourceConfig(Section):
    """[[source]]: the feed of one ad platform. A key overrides the profile's."""

    # what comes in
    name: Name
    path: Annotated[str, Field(pattern=r"^/[!-~]*[!-.0-~]$|^/[!-.0-~]$")]
    profile: Name = "generic"
    type: Literal["click", "impression", "postback"] = "click"
    methods: tuple[Method, ...] = ("GET", "POST")
    max_rate: Annotated[float, Field(ge=0)] = 0  # requests a second; 0: no limit
    signature: SignatureConfig = SignatureConfig()
    on_bad_signature: Literal["flag", "dead_letter", "reject"] = "flag"

    # what it means
    event_time: EventTimeConfig | None = None
    dedup: Params = ()  # the first that has a value identifies the event; "a+b": both together
    volatile: Params = ()
    dedup_window: Annotated[int, Field(ge=0, le=MAX_WINDOW)] = 0  # events; 0: no window
    key: Params = ()
    ip_param: str = ""
    ua_param: str = ""

    # what is kept
    keep_raw: Literal["always", "odd", "never"] = "odd"
    privacy: dict[Param, PrivacyAction] = Field(default_factory=dict)
    address_privacy: Literal["keep", "drop", "sha256", "hmac", "truncate_ip"] = "keep"
    privacy_key_file: SecretFile | None = None
    credentials: Params = ()  # parameters that are as good as a password: masked in what commands print
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._{}-]{0,249}$")] = ""  # in Kafka; "": [kafka]'s

    # what is answered
    reply: ReplyConfig = ReplyConfig()
    on_overload: OverloadConfig = OverloadConfig()

    # for the people at the platform's console
    title: str = ""
    link: dict[Param, str] = Field(default_factory=dict)
    macros: Params = ()  # that the platform replaces; those of the profile's link are among them
    mandatory: Params = ()
    link_notes: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        signature = self.signature
        if len(signature.key_file) > MAX_KEYS:
            hint = "use a source for every few ad accounts"
            raise ValueError(f"signature.key_file: more than {MAX_KEYS} files; {hint}")
        if self.on_bad_signature != "flag" and not signature.verifies:
            raise ValueError(
                f'on_bad_signature = "{self.on_bad_signature}" needs something to verify; '
                "write signature.kind and signature.key_file"
            )
        if "hmac" in (*self.privacy.values(), self.address_privacy) and self.privacy_key_file is None:
            raise ValueError('privacy by hmac needs a key; write privacy_key_file = "privacy.key"')
        return self
