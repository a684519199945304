"""Where a webhook may lead: to a public HTTPS server, and never back inside.

An address is checked twice. When a webhook is made, by its text: scheme, port, no credentials, a name of the public DNS.
And each time before something is sent, by the addresses that the name then has: a name that was harmless when it was
checked may lead elsewhere when it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

MAX_URL = 2048
PORTS = (443, 8443)

# What is no address of a single public machine:
# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
_V4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; AWS uses parts of it inside
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, with the metadata of EC2, ECS and Lambda
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays from IPv6
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# All public machines have addresses of this network; so private, link-local, multicast, mapped (::ffff:0:0/96), NAT64
# (64:ff9b::/96) and AWS's own fd00:ec2::/32 are out at once.
_V6_PUBLIC = ip_network("2000::/3")
_V6 = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # protocol assignments, with Teredo, which holds an IPv4 address
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which holds an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Names that resolvers answer by themselves, or that lead inside of clouds and companies.
_INSIDE = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "arpa")
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost"})


class Forbidden(ValueError):
    """A webhook may not lead there. `cure` says where it may."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.cure = cure


@dataclass(frozen=True)
class Target:
    """A checked address.

    Attributes:
        path: with the query, as it is requested.
        is_loopback: this very machine, which the laptop's owner has allowed for this port.
    """

    host: str
    port: int
    path: str
    is_loopback: bool = False


def target_of(url: str, loopback_ports: frozenset[int] = frozenset()) -> Target:
    """
    Args:
        loopback_ports: where plain HTTP to this machine is allowed: on a laptop, nowhere else.

    Raises:
        Forbidden: a webhook may not lead there.
    """
    if len(url) > MAX_URL:
        raise Forbidden("is too long", f"Use at most {MAX_URL} characters.")
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise Forbidden("has characters that no URL has", "Write them in percent encoding, a name in punycode.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("is not a URL", "Use https://name/path.") from None
    if "@" in parts.netloc:
        raise Forbidden("holds credentials", "Leave them out: deliveries are signed.")
    if "#" in url:
        raise Forbidden("has a fragment, which is never sent", "Leave out # and what follows.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS and port in loopback_ports:
        return Target(parts.hostname or "", port or 0, path, is_loopback=True)
    return _public(parts, 443 if port is None else port, path)


def is_public(address: str) -> bool:
    """Whether an address is that of a public machine; False for what is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    match found:
        case IPv4Address():
            return not any(found in network for network in _V4)
        case IPv6Address():
            # One with a zone, such as fe80::1%eth0, is of a link.
            return found.scope_id is None and found in _V6_PUBLIC and not any(found in network for network in _V6)


def _public(parts: SplitResult, port: int, path: str) -> Target:
    if parts.scheme != "https":
        raise Forbidden("does not begin with https://", "Use https: a delivery is confidential.")
    if port not in PORTS:
        raise Forbidden(f"names the port {port}", f"Use one of {', '.join(map(str, PORTS))}.")
    host = parts.hostname or ""
    labels = host.split(".")
    cure = "Use the name of a public server, such as hooks.example.com."
    if not all(_LABEL.fullmatch(label) for label in labels) or len(host) > 253:
        raise Forbidden("does not name a server", cure)
    # 127.1, 0x7f000001 and 2130706433 are addresses to a resolver, and no public domain looks like them.
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        raise Forbidden("names an address instead of a server", cure)
    if len(labels) < 2 or labels[-1] in _INSIDE:
        raise Forbidden("does not lead to a public server", cure)
    return Target(host, port, path)
