"""A processor that speaks OpenDSR 2.0, with certificates of an authority of its own."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DOMAIN = "opendsr.mailer.test"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, encipher_only=False, decipher_only=False,
    )  # fmt: skip


class Authority:
    """Issues certificates."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(_named("An authority"))
            .issuer_name(_named("An authority"))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        self.pem = _pem(self.certificate)

    def issue(self, key: Key, domain: str = DOMAIN, *, days: int = 90) -> str:
        """Return a certificate for a domain as PEM, which ends in so many days."""
        end = datetime.now(UTC) + timedelta(days=days)
        own = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        return _pem(
            x509.CertificateBuilder()
            .subject_name(_named(domain))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=100))
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .sign(self.key, hashes.SHA256())
        )


class Mailer:
    """Answers as the specification has it; what it is told to do wrong, it does wrong."""

    def __init__(self, authority: Authority, key: Key | None = None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.pem = authority.issue(self.key)
        self.kinds = ["erasure", "access", "portability"]
        self.identities = [["email", "raw"], ["controller_customer_id", "raw"]]
        self.requests: dict[str, dict[str, Any]] = {}
        self.status: dict[str, str] = {}
        self.seen: list[httpx.Request] = []
        #: The next answers are these statuses instead.
        self.down: list[int] = []
        self.domain, self.signs_as, self.receipt_of_another = DOMAIN, self.key, False
        self.results_url: str | None = None

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.answer))

    def signature(self, body: bytes) -> str:
        key = self.signs_as
        if isinstance(key, rsa.RSAPrivateKey):
            made = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        else:
            made = key.sign(body, ec.ECDSA(hashes.SHA256()))
        return base64.b64encode(made).decode()

    def _signed(self, told: dict[str, Any], status: int = 200) -> httpx.Response:
        body = json.dumps(told).encode()
        headers = {"X-OpenDSR-Processor-Domain": self.domain,
                   "X-OpenDSR-Signature": self.signature(body)}  # fmt: skip
        return httpx.Response(status, content=body, headers=headers)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.down:
            return httpx.Response(self.down.pop(0))
        path = request.url.path
        if path == "/v2/discovery":
            return httpx.Response(200, json={
                "api_version": "2.0",
                "supported_identities": [
                    {"identity_type": t, "identity_format": f} for t, f in self.identities
                ],
                "supported_subject_request_types": self.kinds,
                "processor_certificate": f"https://{DOMAIN}/cert.pem",
            })  # fmt: skip
        if path == "/cert.pem":
            return httpx.Response(200, text=self.pem)
        if request.method == "POST" and path == "/v2/requests":
            return self._receipt(request.content)
        one = path.rpartition("/")[2]
        if request.method == "GET" and one in self.requests:
            return self._signed(self.told(one))
        return httpx.Response(404)

    def _receipt(self, body: bytes) -> httpx.Response:
        wanted = json.loads(body)
        one = wanted["subject_request_id"]
        self.requests[one], self.status[one] = wanted, "pending"
        encoded = body + (b" " if self.receipt_of_another else b"")
        receipt = {
            "controller_id": "parcours",
            "expected_completion_time": "2026-12-24T12:00:00Z",
            "received_time": "2026-11-28T12:00:00Z",
            "encoded_request": base64.b64encode(encoded).decode(),
            "subject_request_id": one,
        }
        return self._signed(receipt, 201)

    def told(self, one: str) -> dict[str, Any]:
        told = {
            "controller_id": "parcours",
            "expected_completion_time": "2026-12-24T12:00:00Z",
            "subject_request_id": one,
            "request_status": self.status[one],
        }
        return told | ({"results_url": self.results_url} if self.results_url else {})

    def callback(self, one: str, **more: Any) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of a callback about a request."""
        [url] = self.requests[one]["status_callback_urls"]
        body = json.dumps({**self.told(one), "status_callback_url": url, **more}).encode()
        return body, {
            "X-OpenDSR-Processor-Domain": self.domain,
            "X-OpenDSR-Signature": self.signature(body),
        }
