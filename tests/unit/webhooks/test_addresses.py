"""Where a webhook may lead: a list of what people have tried elsewhere."""

from __future__ import annotations

import pytest

from chalicelib.webhooks.addresses import Forbidden, is_public, target_of
from tests.faults import Shows

# Addresses that are not of one public machine, in every form that a resolver may answer.
NOT_PUBLIC = (
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255"),  # noqa: S104
    *("172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"),
    *("169.254.169.254", "169.254.170.2", "169.254.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:7f00:1", "::127.0.0.1"),
    *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1"),
    *("fe80::1", "fe80::1%eth0", "2600::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1"),
    *("ff02::1", "ff0e::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1", "2002:7f00:1::", "3fff::1"),
    *("5f00::1", "4000::1", "", "localhost", "8.8.8", "8.8.8.8.8", "08.8.8.8", "0x8.8.8.8", "256.1.1.1"),
)
PUBLIC = ("8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.128.0.1", "2600::1", "2a00:1450:4001::200e")

REFUSED = (
    # schemes
    *("http://hooks.example.com/", "ftp://hooks.example.com/", "file:///etc/passwd", "gopher://hooks.example.com/"),
    *("//hooks.example.com/", "hooks.example.com/x", "javascript:alert(1)", "HTTP://hooks.example.com/", "https:x"),
    # machines that are not public, by name and by number in all its forms
    *("https://localhost/", "https://LOCALHOST/", "https://a.localhost/", "https://printer.local/"),
    *("https://metadata/", "https://metadata.google.internal/", "https://ip-10-0-0-1.ec2.internal/"),
    *("https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/"),
    *("https://0177.0.0.1/", "https://017700000001/", "https://169.254.169.254/latest/meta-data/", "https://8.8.8.8/"),
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:a9fe:a9fe]/", "https://[64:ff9b::7f00:1]/"),
    *("https://[fd00:ec2::254]/", "https://[fe80::1%25eth0]/", "https://[::]/", "https://[2600::1]/"),
    *("https://1.0.0.127.in-addr.arpa/", "https://example.com./", "https://.example.com/", "https://exa..mple.com/"),
    # credentials, and what hides where it leads
    *("https://user:password@hooks.example.com/", "https://user@hooks.example.com/", "https://@hooks.example.com/"),
    *("https://hooks.example.com:443@127.0.0.1/", "https://127.0.0.1#@hooks.example.com/"),
    *("https://127.0.0.1\\@hooks.example.com/", "https://hooks.example.com\\.127.0.0.1/"),
    *("https://hooks.example.com/#fragment", "https://hooks.example.com/a b", "https://hooks.example.com/\r\nHost: x"),
    *("https://hooks.example.com/\t", "https://hooks.example.com/\0", "https://ⓔxample.com/", "https://ехample.com/"),
    *("https://１２７.0.0.1/", "https://127。0。0。1/", "https://%31%32%37.0.0.1/", "https://hooks%2eexample.com/"),
    # ports
    *("https://hooks.example.com:80/", "https://hooks.example.com:22/", "https://hooks.example.com:0/"),
    *("https://hooks.example.com:65536/", "https://hooks.example.com:6379/", "https://hooks.example.com:-1/"),
    *("https://hooks.example.com:x/", "https://hooks.example.com:４４３/"),
    # no server at all
    *("https://", "https:///path", "https://-a.example.com/", "https://a-.example.com/", f"https://{'a' * 64}.com/"),
    *("", " https://hooks.example.com/", f"https://hooks.example.com/{'a' * 2048}", f"https://{'a.' * 130}com/"),
)


class TestAddresses:
    def test_that_are_not_public_are_known(self, shows: Shows) -> None:
        passed = [address for address in NOT_PUBLIC if is_public(address)]
        shows(26, f"{len(NOT_PUBLIC)} addresses and {len(REFUSED)} URLs of webhooks, {len(passed)} passed")
        assert passed == []
        assert len(NOT_PUBLIC) >= 40

    @pytest.mark.parametrize("address", PUBLIC)
    def test_that_are_public_are_too(self, address: str) -> None:
        assert is_public(address)


class TestUrls:
    @pytest.mark.parametrize("url", REFUSED, ids=range(len(REFUSED)))
    def test_that_lead_elsewhere_are_refused_with_a_cure(self, url: str) -> None:
        with pytest.raises(Forbidden) as refused:
            target_of(url)
        assert str(refused.value)
        assert refused.value.cure

    @pytest.mark.parametrize(
        ("url", "host", "port", "path"),
        [
            ("https://hooks.example.com", "hooks.example.com", 443, "/"),
            ("https://hooks.example.com/a/b?c=d&e", "hooks.example.com", 443, "/a/b?c=d&e"),
            ("https://Hooks.Example.COM:8443/x", "hooks.example.com", 8443, "/x"),
            ("https://xn--exmple-cua.com/%7Euser", "xn--exmple-cua.com", 443, "/%7Euser"),
            ("https://a_b.example.co.uk:443/", "a_b.example.co.uk", 443, "/"),
        ],
    )
    def test_of_public_servers_are_taken_as_they_are(self, url: str, host: str, port: int, path: str) -> None:
        target = target_of(url)
        assert (target.host, target.port, target.path, target.is_loopback) == (host, port, path, False)


class TestLoopback:
    PORTS = frozenset({9000})

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://localhost:9000/x"])
    def test_is_open_on_the_ports_that_were_allowed(self, url: str) -> None:
        assert target_of(url, self.PORTS).is_loopback
        with pytest.raises(Forbidden):
            target_of(url)

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:9001/",
            "http://127.0.0.1/",
            "http://127.0.0.2:9000/",
            "http://[::1]:9000/",
            "http://10.0.0.1:9000/",
            "http://hooks.example.com:9000/",
            "https://127.0.0.1:9000/",
            "http://user@127.0.0.1:9000/",
            "http://localhost.example.com:9000/",
        ],
    )
    def test_opens_nothing_else(self, url: str) -> None:
        with pytest.raises(Forbidden):
            target_of(url, self.PORTS)
