"""Signatures by public keys: only the platform can make them, and no key of ours is a secret.

| kind | signature | signed content |
|---|---|---|
| `apple_aak` | JWS, ES256 (RFC 7515, RFC 7518), in the body's `jws-string` | its header and payload |
| `apple_skan` | ECDSA P-256, SHA-256, base64 of DER, in `attribution-signature` | fields joined by U+2063 |
| `rsa_pss` | RSASSA-PSS, SHA-256, base64, in the body's `param` | the fields of `params` joined by U+2063 |
| `ecdsa_query` | ECDSA P-256, SHA-256, base64url of DER, in the query's `param` | the query before it |

Sources:

- AdAttributionKit: developer.apple.com/documentation/adattributionkit/verifying-a-postback. Key ids
  `apple-cas-identifier/0` (production), `apple-development-identifier/0` and `/1` (tests). The header's `kid`
  chooses the key; its `alg` is ignored.
- SKAdNetwork: developer.apple.com/documentation/storekit/verifying-an-install-validation-postback (4),
  /combining-parameters-for-skadnetwork-3-postbacks and
  /combining-parameters-for-previous-skadnetwork-postback-versions. One production key for versions 2.1 to 4.
- Huawei: developer.huawei.com/consumer/cn/doc/harmonyOS-Guides/store-attribution-receive. Fields that are
  absent or empty are not signed.
- AdMob: developers.google.com/admob/android/ssv. `signature` and `key_id` end the query. The keys change;
  they are at https://www.gstatic.com/admob/reward/verifier-keys.json. The page says that the query is signed
  as it comes, and its RewardedAdsVerifier undoes the escapes first: both are taken.
"""

from __future__ import annotations

from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import utils

from ingestd.config.source import SignatureConfig
from ingestd.http.request import Request
from ingestd.sources import event_time, macros
from ingestd.sources.percent import unquote
from ingestd.sources.public_key import (
    JsonVerifier,
    Keys,
    PublicKeyVerifier,
    Statement,
    decoded_object,
    joined,
    json_object,
)
from ingestd.sources.signatures import from_base64, value_of

# The fields that SKAdNetwork signs, in their order, by `version`. The two sources are only there if they are.
_SKAN_2 = (
    "version", "ad-network-id", "campaign-id", "app-id", "transaction-id", "redownload", "source-app-id",
)  # fmt: skip
SKAN_FIELDS = {
    "2.1": _SKAN_2,
    "2.2": (*_SKAN_2, "fidelity-type"),
    "3.0": (*_SKAN_2, "fidelity-type", "did-win"),
    "4.0": (
        "version", "ad-network-id", "source-identifier", "app-id", "transaction-id", "redownload",
        "source-app-id", "source-domain", "fidelity-type", "did-win", "postback-sequence-index",
    ),
}  # fmt: skip
_SKAN_SOURCES = ("source-app-id", "source-domain")
# The fields of AdAttributionKit's JWS: .../adattributionkit/identifying-the-parameters-in-a-postback.
AAK_FIELDS = frozenset({
    "postback-identifier", "postback-sequence-index", "ad-network-identifier", "source-identifier",
    "advertised-item-identifier", "publisher-item-identifier", "marketplace-identifier", "conversion-type",
    "impression-type", "did-win",
})  # fmt: skip


class AppleSkan(JsonVerifier):
    """SKAdNetwork's install-validation postbacks, versions 2.1 to 4."""

    __slots__ = ()
    over = "the fields that the postback's version signs, joined by U+2063"
    names = frozenset().union(*SKAN_FIELDS.values())

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a postback; bad for a version that SKAN_FIELDS does not have."""
        keys = json_object(request)
        given = keys.get("attribution-signature")
        if not isinstance(given, str) or not given or macros.is_macro(given):
            return "missing"
        version = keys.get("version")
        fields = SKAN_FIELDS.get(version) if isinstance(version, str) else None
        signature = from_base64(given.encode())
        if fields is None or signature is None:
            return "bad"
        sources = sum(name in keys for name in _SKAN_SOURCES)
        content = joined([keys.get(name) for name in fields if name in keys or name not in _SKAN_SOURCES])
        return (
            "bad" if content is None or sources > 1 else Statement((content,), signature, tuple(self._keys))
        )

    def signed(self, keys: dict[str, Any]) -> dict[str, Any]:
        """The keys without the fields that only other versions sign."""
        version = keys.get("version")
        fields = SKAN_FIELDS.get(version, ()) if isinstance(version, str) else ()
        return {name: value for name, value in keys.items() if name in fields or name not in self.names}


class AppleAak(JsonVerifier):
    """AdAttributionKit's postbacks: JSON with a JWS in `jws-string`."""

    __slots__ = ()
    over = "the header and the payload of jws-string"
    names = AAK_FIELDS

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of `jws-string`; bad for a key that is not known by its id."""
        jws = json_object(request).get("jws-string")
        if not isinstance(jws, str) or not jws or macros.is_macro(jws):
            return "missing"
        content, _, last = jws.encode("utf-8", "replace").rpartition(b".")
        header = decoded_object(content.partition(b".")[0])
        signature = from_base64(last)
        key_id = header.get("kid")
        if content.count(b".") != 1 or signature is None or len(signature) != 64 or "crit" in header:
            return "bad"
        if not isinstance(key_id, str) or key_id not in self._keys:
            return "bad"
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        return Statement((content,), utils.encode_dss_signature(r, s), (key_id,))

    def signed(self, keys: dict[str, Any]) -> dict[str, Any]:
        """The JWS' payload, and such keys as it does not have and never has."""
        jws = keys.get("jws-string")
        parts = jws.split(".") if isinstance(jws, str) else []
        payload = decoded_object(parts[1].encode("utf-8", "replace")) if len(parts) == 3 else {}
        return {name: value for name, value in keys.items() if name not in self.names} | payload


class RsaPss(JsonVerifier):
    """The values of a JSON body's fields, those that are there and not empty, signed by RSASSA-PSS."""

    __slots__ = ("names",)
    over = "the fields of params that are there, joined by U+2063"

    def __init__(self, settings: SignatureConfig, keys: Keys) -> None:
        super().__init__(settings, keys)
        self.names = frozenset(settings.params)

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a JSON body; bad if a field is not text, a number or a boolean."""
        settings = self._settings
        keys = json_object(request)
        given = keys.get(settings.param)
        if not isinstance(given, str) or not given or macros.is_macro(given):
            return "missing"
        signature = from_base64(given.encode("utf-8", "replace"))
        content = joined([keys[name] for name in settings.params if keys.get(name) not in (None, "")])
        if signature is None or content is None:
            return "bad"
        return Statement((content,), signature, tuple(self._keys), self._expired(keys, request.received_ns))

    def _expired(self, keys: dict[str, Any], now_ns: int) -> bool:
        settings = self._settings
        if not settings.time_param:
            return False
        start = event_time.read_ns(str(keys.get(settings.time_param)).encode("utf-8", "replace"))
        return start is None or abs(now_ns - start) > settings.max_age * 1e9


class EcdsaQuery(PublicKeyVerifier):
    """The query before its last two parameters, the signature and `key_id`.

    The signed text has its escapes undone, as Google's own RewardedAdsVerifier has it, so that `a=1%26b=2`
    and `a=1&b=2` have one signature. The names tell them apart: they come in alphabetical order, each once,
    and without escapes. A value that could hold one of `params` is refused; without `params`, any name.
    """

    __slots__ = ()
    over = "the query before the signature"

    def read(self, request: Request) -> Statement | Literal["bad", "missing"]:
        """The statement of a query; bad if it may be of another one, or if anything unsigned is with it."""
        name = self._settings.param.encode() + b"="
        raw = request.query
        start = raw.rfind(b"&" + name)
        if start < 0:
            return "missing"
        last = raw[start + 1 :]
        given, key_id = value_of(last, name), value_of(last, b"key_id=")
        if not given or macros.is_raw_macro(given.decode("latin-1")):
            return "missing"
        signature = from_base64(unquote(given))
        wanted = (key_id or b"").decode("latin-1")
        if signature is None or wanted not in self._keys or last.count(b"&") != 1:
            return "bad"
        query = raw[:start]
        if request.body or not self._is_unambiguous(query):
            return "bad"
        return Statement((unquote(query), query) if b"%" in query else (query,), signature, (wanted,))

    def _is_unambiguous(self, query: bytes) -> bool:
        """Whether no other query in order has the same text, its escapes undone."""
        known = [name.encode() for name in self._settings.params]
        pairs = [pair.partition(b"=") for pair in query.split(b"&")]
        names = [name for name, _, _ in pairs]
        if names != sorted(set(names)) or any(b"%" in name or b"+" in name for name in names):
            return False
        for (name, _, value), following in zip(pairs, [*names[1:], b"\xff"], strict=True):
            inner = unquote(value).split(b"&")[1:] if b"%" in value else []
            for hidden in [pair.partition(b"=")[0] for pair in inner]:
                if name < hidden < following and (not known or hidden in known):
                    return False
        return True


KINDS: dict[str, type[PublicKeyVerifier]] = {
    "apple_aak": AppleAak,
    "apple_skan": AppleSkan,
    "rsa_pss": RsaPss,
    "ecdsa_query": EcdsaQuery,
}
