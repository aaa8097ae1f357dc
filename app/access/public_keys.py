"""Reads the public keys by which a client signs assertions; pure.

A key has one family of algorithms, all of them asymmetric: what a token says of its algorithm
never decides how it is checked (RFC 8725 §3.1).
"""

import json
import warnings
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from app.errors import DefinitionInvalid

PublicKey = ECKey | RSAKey | OKPKey

#: What a key may sign with, by its type and curve.
ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("Ed25519",),  # RFC 9864, which says that EdDSA is too little of a name
    ("RSA", None): ("RS256", "PS256"),
}
#: Every algorithm that some key may sign with.
ALL = tuple(algorithm for family in ALGORITHMS.values() for algorithm in family)
#: A set of four keys of RSA with certificates has some 20 KB.
LARGEST_FILE = 64_000
MOST_KEYS = 10
#: A smaller modulus can be factored (NIST SP 800-131A); to check with a larger one takes long.
RSA_BITS = (2_048, 4_096)
LONGEST_KEY_ID = 200
#: Members of a private or symmetric key (RFC 7518 §6).
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def read(text: str) -> list[dict[str, Any]]:
    """Return the keys of a JWK, a JWK Set or a public key in PEM, each with a `kid`.

    Kept is what checking needs, and nothing else of what the file says. Raises DefinitionInvalid,
    for private keys too: whoever sends one has shown it.
    """
    if len(text) > LARGEST_FILE:
        raise DefinitionInvalid(f"a file of keys has at most {LARGEST_FILE} characters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # what it warns of is refused below
        found = [_public(key) for key in _listed(text)]
    if not 0 < len(found) <= MOST_KEYS:
        raise DefinitionInvalid(f"{len(found)} keys; 1 to {MOST_KEYS}")
    if len({key["kid"] for key in found}) < len(found):
        raise DefinitionInvalid("two keys have the same kid")
    return found


def algorithms(key: PublicKey) -> tuple[str, ...]:
    """Return what a key may sign with; nothing, where it is of a kind that is not taken."""
    described = key.as_dict(private=False)
    curve = described.get("crv")
    return ALGORITHMS.get((str(described["kty"]), None if curve is None else str(curve)), ())


def imported(jwk: Mapping[str, Any]) -> PublicKey:
    """Return a key that `read` has returned."""
    key = JWKRegistry.import_key(dict(jwk))
    if not isinstance(key, ECKey | RSAKey | OKPKey):
        raise DefinitionInvalid("no public key")
    return key


def _listed(text: str) -> list[Any]:
    if "-----BEGIN" in text:
        return [_of_pem(text)]
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DefinitionInvalid("neither a JWK (Set) nor a public key in PEM") from error
    keys = said.get("keys", [said]) if isinstance(said, dict) else said
    if not isinstance(keys, list):
        raise DefinitionInvalid("`keys` is no list")
    return keys


def _of_pem(text: str) -> dict[str, Any]:
    if "PRIVATE" in text:
        raise DefinitionInvalid("this key is private, and known now: make another")
    for kind in (ECKey, RSAKey, OKPKey):
        try:
            return dict(kind.import_key(text).as_dict(private=False))
        except (JoseError, ValueError, TypeError):
            continue
    raise DefinitionInvalid("this is no public key in PEM")


def _public(said: Any) -> dict[str, Any]:
    """Return the members of a public key that checking needs."""
    if not isinstance(said, dict):
        raise DefinitionInvalid("a key is no object")
    if PRIVATE.intersection(said):
        raise DefinitionInvalid("this key is private or symmetric, and known now: make another")
    if said.get("use", "sig") != "sig":
        raise DefinitionInvalid("this key is not for signatures")
    members = {name: said[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in said}
    try:
        key = imported(members)
        bits = key.raw_value.key_size if isinstance(key, RSAKey) else None
        key_id = said.get("kid") or key.thumbprint()
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DefinitionInvalid("this is no public key") from error
    if not algorithms(key):
        raise DefinitionInvalid("keys are of RSA, or on P-256, P-384 or Ed25519")
    if bits is not None and not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise DefinitionInvalid(f"{bits} bits; RSA keys have {RSA_BITS[0]} to {RSA_BITS[1]}")
    if not isinstance(key_id, str) or len(key_id) > LONGEST_KEY_ID or not key_id.isprintable():
        raise DefinitionInvalid(f"a kid is text of at most {LONGEST_KEY_ID} characters")
    return {**members, "kid": key_id}
