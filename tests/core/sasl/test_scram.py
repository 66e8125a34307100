"""SCRAM: the example of RFC 7677, a server that is not ours, and servers that cheat."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.core.sasl.scram import LEAST_ITERATIONS, MOST_ITERATIONS, ScramClient
from aioproducer.errors import AuthenticationError

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)


def rfc_client() -> ScramClient:
    return ScramClient("SCRAM-SHA-256", "user", "pencil", NONCE)


def test_the_example_of_rfc_7677() -> None:
    client = rfc_client()
    assert client.step(b"") == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert client.step(SERVER_FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert client.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") is None


class Server:
    """RFC 5802's server side, written from the RFC and not from the client."""

    def __init__(self, algorithm: str, password: str, iterations: int = 4096) -> None:
        self.algorithm = algorithm
        self.salt = b"some salt"
        self.iterations = iterations
        self.salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), self.salt, iterations)

    def mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self.algorithm).digest()

    def first(self, client_first: bytes) -> bytes:
        self.bare = client_first[3:]
        nonce = dict(part.split(b"=", 1) for part in self.bare.split(b","))[b"r"]
        salt = base64.b64encode(self.salt)
        self.message = b"r=%sSERVER,s=%s,i=%d" % (nonce, salt, self.iterations)
        return self.message

    def final(self, client_final: bytes) -> bytes:
        without_proof, _, proof = client_final.rpartition(b",p=")
        text = b",".join([self.bare, self.message, without_proof])
        client_key = self.mac(self.salted, b"Client Key")
        signature = self.mac(hashlib.new(self.algorithm, client_key).digest(), text)
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if base64.b64decode(proof) != expected:
            return b"e=invalid-proof"
        return b"v=" + base64.b64encode(self.mac(self.mac(self.salted, b"Server Key"), text))


def converse(client: ScramClient, server: Server) -> None:
    first = client.step(b"")
    assert first is not None
    final = client.step(server.first(first))
    assert final is not None
    assert client.step(server.final(final)) is None


@settings(max_examples=20, deadline=None)
@given(
    mechanism=st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-512"]),
    name=st.text(min_size=1, max_size=10),
    password=st.text(min_size=1, max_size=10).filter(lambda t: t.isprintable()),
)
def test_any_name_and_password_pass_with_a_server_that_knows_them(
    mechanism: str, name: str, password: str
) -> None:
    algorithm = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    converse(
        ScramClient(mechanism, name.encode("utf-8", "ignore").decode() or "n", password, "abc"),
        Server(algorithm, password),
    )


def test_commas_and_equals_signs_in_a_name_are_escaped() -> None:
    client = ScramClient("SCRAM-SHA-512", "a,b=c", "p", "abc")
    assert client.step(b"") == b"n,,n=a=2Cb=3Dc,r=abc"


def test_a_delegation_token_says_so() -> None:
    client = ScramClient("SCRAM-SHA-512", "id", "mac", "abc", token_auth=True)
    assert client.step(b"") == b"n,,n=id,r=abc,tokenauth=true"


def test_prepared_spelling_is_what_the_server_must_know() -> None:
    converse(
        ScramClient("SCRAM-SHA-256", "u", "\u2168", "abc", prepared=True), Server("sha256", "IX")
    )
    converse(ScramClient("SCRAM-SHA-256", "u", "\u2168", "abc"), Server("sha256", "\u2168"))


def test_a_wrong_password_is_told_in_the_server_s_words() -> None:
    with pytest.raises(AuthenticationError, match="invalid-proof"):
        converse(ScramClient("SCRAM-SHA-256", "u", "right", "abc"), Server("sha256", "wrong"))


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    """It could have taken any proof: only its own signature shows that it is the real one."""
    client = rfc_client()
    client.step(b"")
    client.step(SERVER_FIRST)
    with pytest.raises(AuthenticationError, match="could not prove"):
        client.step(b"v=" + base64.b64encode(b"x" * 32))


@pytest.mark.parametrize("final", [b"", b"v=", b"v=!!!", b"x=abc", b"v", b"\xff"])
def test_a_server_that_leaves_its_signature_out_is_refused(final: bytes) -> None:
    client = rfc_client()
    client.step(b"")
    client.step(SERVER_FIRST)
    with pytest.raises(AuthenticationError):
        client.step(final)


def first_with(**changes: str) -> bytes:
    fields = {"r": NONCE + "more", "s": "W22ZaJ0SNY7soEsUEjb6gQ==", "i": "4096", **changes}
    return ",".join(f"{key}={value}" for key, value in fields.items() if value != "-").encode()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (first_with(r="another"), "nonce"),
        (first_with(r=NONCE), "nonce"),
        (first_with(r="-"), "nonce"),
        (first_with(s="-"), "'s'"),
        (first_with(s=""), "'s'"),
        (first_with(s="%"), "'s'"),
        (first_with(i="-"), "not a number"),
        (first_with(i="4096x"), "not a number"),
        (first_with(i="-1"), "not a number"),
        (first_with(i="9" * 1000), "not a number"),
        (first_with(i=str(LEAST_ITERATIONS - 1)), "at least 4096"),
        (first_with(i=str(MOST_ITERATIONS + 1)), "most allowed"),
        (b"m=ext," + first_with(), "extension"),
        (first_with() + b",r=again", "malformed"),
        (b"", "malformed"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_malformed_or_dangerous_challenge_is_refused(message: bytes, words: str) -> None:
    client = rfc_client()
    client.step(b"")
    with pytest.raises(AuthenticationError, match=words) as refusal:
        client.step(message)
    assert "pencil" not in str(refusal.value)


def test_nothing_follows_the_end() -> None:
    client = ScramClient("SCRAM-SHA-256", "u", "p", "abc")
    converse(client, Server("sha256", "p"))
    with pytest.raises(AuthenticationError, match="after the end"):
        client.step(b"")


@pytest.mark.parametrize(
    ("name", "password", "nonce"),
    [("", "p", "n"), ("u", "", "n"), ("u", "p", "a,b"), ("u", "p", "")],
)
def test_what_cannot_work_is_refused_at_once(name: str, password: str, nonce: str) -> None:
    with pytest.raises(AuthenticationError):
        ScramClient("SCRAM-SHA-256", name, password, nonce)


def test_a_password_that_saslprep_prohibits_is_not_repeated() -> None:
    with pytest.raises(AuthenticationError, match="password cannot be used") as refusal:
        ScramClient("SCRAM-SHA-256", "u", "a\u0007b", "abc", prepared=True)
    assert "a\u0007b" not in str(refusal.value)
