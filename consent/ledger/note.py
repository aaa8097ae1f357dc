"""Signs checkpoints: C2SP signed-note with Ed25519, as `check` verifies them."""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.ledger.check import ED25519, key_id


class Signer:
    """A private key under the name of its log; never printed."""

    def __init__(self, origin: str, seed: bytes) -> None:
        """`seed` are the 32 bytes of RFC 8032 section 5.1.5."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = bytes([ED25519]) + self._key.public_key().public_bytes_raw()
        self.origin = origin
        self._id = key_id(origin, public)
        self.vkey = f"{origin}+{self._id.hex()}+{base64.b64encode(public).decode()}"

    def line(self, text: str) -> str:
        """Return the signature line of a text."""
        signature = self._id + self._key.sign(text.encode())
        return f"— {self.origin} {base64.b64encode(signature).decode()}\n"


def checkpoint(signers: list[Signer], size: int, root: bytes) -> str:
    """Return a checkpoint that all of these keys of one log sign (C2SP tlog-checkpoint)."""
    text = f"{signers[0].origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    return text + "\n" + "".join(signer.line(text) for signer in signers)
