"""What a processor has signed, and whether the certificate is one of its domain (OpenDSR 2.0, 4).

The specification asks for a certificate of a trusted authority, issued for the domain, and forbids
one that a processor has signed itself. Such a one is believed only where a person of ours has
registered it.
"""

import base64
import binascii
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from app.errors import ProcessorUnusable

#: Shortest key of RSA that is believed, in bits (FIPS 186-4, NIST SP 800-57).
SHORTEST_RSA = 2_048


def certificates(pem: str) -> list[x509.Certificate]:
    """Read certificates, the one that signs first; raises ProcessorUnusable."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise ProcessorUnusable("there is no certificate in the form of PEM") from error


def believed(pem: str, domain: str, registered: str | None) -> str:
    """Return the certificate that signs for a domain, as PEM; raises ProcessorUnusable.

    It is valid today, and either issued for the domain by an authority that the TLS of this
    process trusts, or by one that is registered, or is registered itself.
    """
    chain = certificates(pem)
    own, now = chain[0], datetime.now(UTC)
    if not valid(own):
        raise ProcessorUnusable("its certificate is not valid today")
    key = own.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise ProcessorUnusable("its certificate signs neither by ECDSA nor by RSA")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA:
        raise ProcessorUnusable(f"its RSA key has less than {SHORTEST_RSA} bits")
    known = certificates(registered) if registered else []
    if own not in known:
        _issued(own, chain[1:], domain, now, known)
    return own.public_bytes(serialization.Encoding.PEM).decode()


def valid(own: x509.Certificate) -> bool:
    """Say whether a certificate is valid today."""
    return own.not_valid_before_utc <= datetime.now(UTC) <= own.not_valid_after_utc


def holds(pem: str, signature: str, body: bytes) -> bool:
    """Say whether a base64 signature is of this body, by ECDSA or RSA (PKCS #1 1.5) and SHA-256.

    Under a certificate that has lapsed since it was stored nothing is.
    """
    own = certificates(pem)[0]
    if not valid(own):
        return False
    key = own.public_key()
    try:
        given = base64.b64decode("".join(signature.split()), validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(given, body, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(given, body, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _issued(
    own: x509.Certificate,
    between: Sequence[x509.Certificate],
    domain: str,
    now: datetime,
    authorities: list[x509.Certificate],
) -> None:
    store = Store(authorities) if authorities else _public_authorities()
    try:
        verifier = (
            PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(domain))
        )
        verifier.verify(own, list(between))
    except (VerificationError, ValueError) as error:
        raise ProcessorUnusable(
            f"its certificate was not issued for {domain} by an authority that is trusted here; "
            "register it, if you know it to be theirs"
        ) from error


@cache
def _public_authorities() -> Store:
    found = httpx.create_ssl_context(trust_env=False).get_ca_certs(binary_form=True)
    with warnings.catch_warnings():
        # Two old roots have serial numbers that RFC 5280 forbids; TLS takes them all the same.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return Store([x509.load_der_x509_certificate(one) for one in found])
