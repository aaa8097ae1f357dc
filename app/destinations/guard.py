"""The client that reaches destinations: never an address inside, whatever a name resolves to.

Whoever may register a destination chooses where the server connects to, and could have it ask what
only the server can reach: a metadata service, a database, the neighbours (OWASP, server-side
request forgery). A name is resolved once and the connection goes to the address that was looked
at: a name that answers otherwise the second time (DNS rebinding) wins nothing.
"""

import ipaddress
import socket
import threading
from typing import Any

import httpx

from app.destinations.exchange import CODINGS, Transport
from app.settings import Settings

#: So long may a request take with its answer, in seconds; as long as one batch.
LONGEST_SECONDS = 45.0
#: Transports are kept by host: connections are shared by address, and two hosts at one address
#: must not share one that was made for the other's certificate.
MOST_HOSTS = 64
#: Whose last 32 bits are an address of IPv4 (RFC 6052).
NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: In which one of IPv4 is wrapped somehow, for one network's own use or of old: translated locally
#: (RFC 8215) and by SIIT (RFC 2765), and compatible (RFC 4291).
TRANSLATED = (
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("::ffff:0:0:0/96"),
    ipaddress.ip_network("::/96"),
)


class AddressForbidden(httpx.TransportError):
    """The address is not one of the public internet."""


def client(settings: Settings) -> httpx.Client:
    """Return a client for what operators have registered; private addresses only if allowed.

    Each request ends in time, whatever its receiver does.
    """
    timeout = settings.webhook_timeout_seconds
    longest = max(timeout, LONGEST_SECONDS)
    return httpx.Client(
        transport=Transport(longest, trust_env=False)
        if settings.private_destinations
        else Guard(longest),
        timeout=httpx.Timeout(timeout),
        headers=CODINGS,
        follow_redirects=False,
        trust_env=False,
    )


class Guard(httpx.BaseTransport):
    """Connects to the public internet alone. Safe to use from several threads."""

    def __init__(self, seconds: float = LONGEST_SECONDS, **options: Any) -> None:
        """`seconds` is how long a request may take; `options` are those of httpx's transport."""
        self._seconds, self._options = seconds, options
        self._transports: dict[str, Transport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the address that its host has now, if that is public.

        The certificate is checked against the name, and the header `Host` keeps it.
        """
        host = request.url.host
        address = public_address(host, request.url.port or 443)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=address)
        return self._transport(host).handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()
            self._transports.clear()

    def _transport(self, host: str) -> Transport:
        with self._lock:
            found = self._transports.get(host)
            if found is None:
                if len(self._transports) >= MOST_HOSTS:
                    self._transports.pop(next(iter(self._transports)))
                found = Transport(self._seconds, trust_env=False, **self._options)
                self._transports[host] = found
            return found


def public_address(host: str, port: int) -> str:
    """Return an address of a host; raises AddressForbidden when any of them is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError("the host has no address") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not all(_public(ipaddress.ip_address(address)) for address in addresses):
        raise AddressForbidden("the address is not public")
    return addresses[0]


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether an address is of the public internet, also one that is wrapped in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _public(inner)
        if address.is_site_local or any(address in network for network in TRANSLATED):
            return False
    return address.is_global and not address.is_multicast
