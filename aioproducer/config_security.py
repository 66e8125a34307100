"""The rules between the keys of security.

A key that would have no effect is refused: who sets a password or a truststore believes that it is
used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from aioproducer.config_rules import Draft
from aioproducer.config_table import TLS_VERSIONS, WORKING_KEYS, Group
from aioproducer.jaas import JaasEntry, parse_jaas

_TLS = ("SSL", "SASL_SSL")
_SASL = ("SASL_PLAINTEXT", "SASL_SSL")
_PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# Set by many a Java configuration without a thought; they promise nothing by themselves.
_HARMLESS = frozenset(
    {
        "sasl_mechanism",
        "ssl_protocol",
        "ssl_enabled_protocols",
        "ssl_endpoint_identification_algorithm",
        "ssl_truststore_type",
        "ssl_keystore_type",
        "sasl_oauthbearer_header_urlencode",
    }
)
_TLS_KEYS = tuple(k.python for k in WORKING_KEYS if k.python.startswith("ssl_"))
_SASL_KEYS = tuple(
    k.python
    for k in WORKING_KEYS
    if k.group is Group.SECURITY and not k.python.startswith(("ssl_", "security_"))
)
_ENDPOINT_KEYS = tuple(k for k in _SASL_KEYS if k.startswith("sasl_oauthbearer_"))
_ENDPOINT = "sasl_oauthbearer_token_endpoint_url"
_CLIENT_ID = "sasl_oauthbearer_client_credentials_client_id"
_CLIENT_SECRET = "sasl_oauthbearer_client_credentials_client_secret"


def judge_security(draft: Draft) -> None:
    """Check the keys of TLS and SASL against ``security.protocol`` and each other."""
    if not draft.sound("security_protocol"):
        return
    protocol = str(draft.values["security_protocol"])
    if protocol in _TLS:
        _judge_tls(draft)
    else:
        _refuse_idle(draft, _TLS_KEYS, protocol, "SASL_SSL" if protocol in _SASL else "SSL")
    if protocol in _SASL:
        _judge_sasl(draft, protocol)
    else:
        _refuse_idle(draft, _SASL_KEYS, protocol, "SASL_SSL")


def _set_keys(draft: Draft, keys: Iterable[str]) -> list[str]:
    """Return those of ``keys`` that were set to something."""
    return [key for key in keys if draft.is_set(key) and draft.values[key] not in (None, "", ())]


def _names(draft: Draft, keys: Iterable[str]) -> str:
    return " and ".join(draft.name(key) for key in keys)


def _refuse_idle(draft: Draft, keys: Iterable[str], protocol: str, better: str) -> None:
    idle = [key for key in _set_keys(draft, keys) if key not in _HARMLESS]
    if idle:
        draft.violations.append(
            f"{draft.name('security_protocol')}: is {protocol}, so {_names(draft, idle)} would have"
            f" no effect; set it to {better}, or leave that out"
        )


# TLS


def _judge_tls(draft: Draft) -> None:
    own_context = draft.values["ssl_context"]
    if own_context is not None:
        if not hasattr(own_context, "wrap_bio"):
            kind = type(own_context).__name__
            draft.violations.append(
                f"{draft.name('ssl_context')}: must be an ssl.SSLContext, not {kind}"
            )
        others = [key for key in _set_keys(draft, _TLS_KEYS) if key != "ssl_context"]
        if others:
            draft.violations.append(
                f"{draft.name('ssl_context')}: is used as it is, so {_names(draft, others)} would"
                " have no effect; give one or the other"
            )
        return
    _judge_versions(draft)
    _judge_identification(draft)
    _judge_stores(draft)


def _judge_versions(draft: Draft) -> None:
    if not draft.sound("ssl_enabled_protocols", "ssl_protocol"):
        return
    name, enabled = draft.name("ssl_enabled_protocols"), draft.values["ssl_enabled_protocols"]
    assert isinstance(enabled, tuple)
    wrong = [version for version in enabled if version not in TLS_VERSIONS]
    if wrong or not enabled:
        draft.violations.append(
            f"{name}: must hold {' or '.join(TLS_VERSIONS)}, not {', '.join(wrong) or 'nothing'};"
            " older versions are not safe"
        )
    elif draft.values["ssl_protocol"] not in enabled and draft.is_set("ssl_protocol"):
        draft.violations.append(
            f"{draft.name('ssl_protocol')}: is {draft.values['ssl_protocol']}, which {name} leaves"
            " out"
        )


def _judge_identification(draft: Draft) -> None:
    key = "ssl_endpoint_identification_algorithm"
    algorithm = str(draft.values[key]).lower()
    if algorithm not in ("https", ""):
        draft.violations.append(f"{draft.name(key)}: must be 'https', or empty to switch it off")
        return
    draft.values[key] = algorithm
    if not algorithm:
        draft.notices.append(
            f"{draft.name(key)} is off: a broker may show a certificate that was made for another"
            " host, and whoever has one can pose as a broker"
        )


def _judge_stores(draft: Draft) -> None:
    _only_one(draft, "ssl_truststore_location", "ssl_truststore_certificates")
    _only_one(draft, "ssl_keystore_location", "ssl_keystore_key")
    _only_one(draft, "ssl_keystore_location", "ssl_keystore_certificate_chain")
    pair = ("ssl_keystore_key", "ssl_keystore_certificate_chain")
    given = _set_keys(draft, pair)
    if len(given) == 1:
        (missing,) = set(pair) - set(given)
        draft.violations.append(f"{draft.name(given[0])}: needs {draft.name(missing)} beside it")
    for store in ("truststore", "keystore"):
        location, password = f"ssl_{store}_location", f"ssl_{store}_password"
        if _set_keys(draft, (password,)) and not _set_keys(draft, (location,)):
            draft.violations.append(f"{draft.name(password)}: there is no {draft.name(location)}")
        if _set_keys(draft, (password,)) and draft.values[f"ssl_{store}_type"] == "PEM":
            draft.violations.append(
                f"{draft.name(password)}: a PEM file has none;"
                " the password of an encrypted key is ssl.key.password"
            )
    _refuse_jks(draft)
    if _set_keys(draft, ("ssl_key_password",)) and not _set_keys(
        draft, ("ssl_keystore_location", "ssl_keystore_key")
    ):
        draft.violations.append(f"{draft.name('ssl_key_password')}: there is no key")


def _only_one(draft: Draft, first: str, second: str) -> None:
    if len(_set_keys(draft, (first, second))) == 2:
        draft.violations.append(
            f"{draft.name(first)} and {draft.name(second)}: give one or the other"
        )


def _refuse_jks(draft: Draft) -> None:
    for store in ("truststore", "keystore"):
        kind = f"ssl_{store}_type"
        location = draft.values[f"ssl_{store}_location"]
        if draft.is_set(kind) and draft.values[kind] == "JKS" and location:
            draft.violations.append(f"{draft.name(kind)}: {jks_advice(str(location))}")


def jks_advice(location: str) -> str:
    """Return why a JKS file is refused, and the command that converts it."""
    target = f"{location.removesuffix('.jks')}.p12"
    return (
        "JKS is a format of Java alone; convert it: keytool -importkeystore"
        f" -srckeystore {location} -destkeystore {target} -deststoretype PKCS12,"
        " then name that file with type PKCS12"
    )


# SASL


def _judge_sasl(draft: Draft, protocol: str) -> None:
    if not draft.sound("sasl_mechanism"):
        return
    mechanism = str(draft.values["sasl_mechanism"])
    entry = _jaas(draft, mechanism)
    if mechanism in _PASSWORD_MECHANISMS:
        _judge_password(draft, mechanism, entry)
    elif mechanism == "OAUTHBEARER":
        _judge_oauth(draft, entry)
    else:
        _judge_kerberos(draft, entry)
    if mechanism == "PLAIN" and protocol == "SASL_PLAINTEXT":
        draft.notices.append(
            "PLAIN over SASL_PLAINTEXT: everybody on the way to the brokers can read the password;"
            " use SASL_SSL, or SCRAM"
        )


def _jaas(draft: Draft, mechanism: str) -> JaasEntry | None:
    text = draft.values["sasl_jaas_config"]
    if not text:
        return None
    name = draft.name("sasl_jaas_config")
    try:
        entry = parse_jaas(str(text))
    except ValueError as error:
        draft.wrong.add("sasl_jaas_config")
        draft.violations.append(f"{name}: {error}")
        return None
    if mechanism not in entry.mechanisms:
        draft.wrong.add("sasl_jaas_config")
        draft.violations.append(
            f"{name}: {entry.module} is for {' and '.join(entry.mechanisms)}, but"
            f" {draft.name('sasl_mechanism')} is {mechanism}"
        )
        return None
    return entry


def _sources(draft: Draft, *allowed: str) -> list[str]:
    """Return where the credentials come from; refuse what belongs to other mechanisms."""
    mechanism = draft.values["sasl_mechanism"]
    choices = {"sasl_username", "sasl_password", "credentials_provider", "token_provider"}
    choices |= {"sasl_kerberos_service_name", *_ENDPOINT_KEYS}
    foreign = [key for key in _set_keys(draft, sorted(choices)) if key not in allowed]
    if foreign:
        draft.violations.append(
            f"{draft.name('sasl_mechanism')}: is {mechanism}, so {_names(draft, foreign)} would"
            " have no effect"
        )
    return _set_keys(draft, allowed)


def _judge_password(draft: Draft, mechanism: str, entry: JaasEntry | None) -> None:
    pair = ["sasl_username", "sasl_password"]
    given = _sources(draft, *pair, "credentials_provider")
    jaas = draft.is_set("sasl_jaas_config")
    plain = [key for key in given if key in pair]
    if bool(plain) + ("credentials_provider" in given) + jaas > 1:
        draft.violations.append(
            f"{mechanism}: credentials come from more than one place;"
            f" keep one of sasl.username with sasl.password, credentials.provider, sasl.jaas.config"
        )
    elif not given and not jaas:
        draft.violations.append(
            f"{mechanism}: needs sasl.username and sasl.password, or credentials.provider,"
            " or sasl.jaas.config"
        )
    elif len(plain) == 1:
        (missing,) = set(pair) - set(plain)
        draft.violations.append(f"{draft.name(plain[0])}: needs {draft.name(missing)} beside it")
    _need_callable(draft, "credentials_provider")
    if entry is not None and not (entry.options.get("username") and entry.options.get("password")):
        draft.violations.append(f"{draft.name('sasl_jaas_config')}: has no username or no password")


def _judge_oauth(draft: Draft, entry: JaasEntry | None) -> None:
    given = _sources(draft, "token_provider", *_ENDPOINT_KEYS)
    _need_callable(draft, "token_provider")
    if "token_provider" in given:
        others = [key for key in given if key != "token_provider"]
        others += _set_keys(draft, ("sasl_jaas_config",))
        if others:
            draft.violations.append(
                f"{draft.name('token_provider')}: gives the tokens, so {_names(draft, others)}"
                " would have no effect"
            )
        return
    url = draft.values[_ENDPOINT]
    if not url:
        draft.violations.append(
            "OAUTHBEARER: needs token.provider, or sasl.oauthbearer.token.endpoint.url"
        )
        return
    _judge_endpoint(draft, str(url), entry)


def _judge_endpoint(draft: Draft, url: str, entry: JaasEntry | None) -> None:
    name = draft.name(_ENDPOINT)
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "file"):
        draft.violations.append(f"{name}: must begin with https:, http: or file:")
        return
    if parts.username or parts.password:
        draft.violations.append(
            f"{name}: must not hold a name or password; {draft.name(_CLIENT_ID)} and"
            f" {draft.name(_CLIENT_SECRET)} are for that"
        )
    if parts.scheme == "http":
        draft.notices.append(f"{name} is not https: the client's secret and the tokens go in clear")
    if parts.scheme == "file":
        return
    options = entry.options if entry is not None else {}
    has_id = draft.values[_CLIENT_ID] or options.get("clientId")
    has_secret = draft.values[_CLIENT_SECRET] or options.get("clientSecret")
    if not (has_id and has_secret):
        draft.violations.append(
            f"{name}: needs {draft.name(_CLIENT_ID)} and {draft.name(_CLIENT_SECRET)}"
        )


def _judge_kerberos(draft: Draft, entry: JaasEntry | None) -> None:
    if not draft.is_set("sasl_mechanism") and _set_keys(
        draft, ("sasl_username", "sasl_password", "credentials_provider", "token_provider")
    ):
        draft.violations.append(
            f"{draft.name('sasl_mechanism')}: is GSSAPI unless it is set;"
            " set PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
        )
        return
    _sources(draft, "sasl_kerberos_service_name")
    in_jaas = entry.options.get("serviceName") if entry is not None else None
    in_key = draft.values["sasl_kerberos_service_name"]
    if in_jaas and in_key and in_jaas != in_key:
        draft.violations.append(
            f"{draft.name('sasl_kerberos_service_name')}: differs from sasl.jaas.config's"
        )
    elif not in_jaas and not in_key:
        draft.violations.append(
            "GSSAPI: needs sasl.kerberos.service.name, the first part of the brokers' principal"
        )


def _need_callable(draft: Draft, key: str) -> None:
    value: Callable[[], object] | object = draft.values[key]
    if value is not None and not callable(value):
        draft.violations.append(
            f"{draft.name(key)}: must be an async callable, not {type(value).__name__}"
        )
