"""Certificates for an emulator that answers to the exchange's own name.

A certificate authority is made that can vouch for that name and loopback alone and for a few days only; it
signs one server certificate and its key is forgotten. Where the exchange's name leads to the emulator, a client
that trusts this authority works unchanged; trusting it lets nobody else pretend to be anybody else.

Needs the ``emulator`` extra (``cryptography``). Source: RFC 5280 §4.2.1.10.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

HOST = "api.coin.z.com"
NAMES = (HOST, "localhost")
ADDRESSES = ("127.0.0.1", "::1")
DAYS = 7
_LATE_CLOCK = timedelta(minutes=5)
_CA, _CERTIFICATE, _KEY = "ca.pem", "server.pem", "server-key.pem"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, while its key is still known."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    def sign(self, names: tuple[str, ...], addresses: tuple[str, ...] = ()) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
        """Return a server certificate and its key; whether clients believe it is decided by the name constraints."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        known_as = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
        builder = _builder(names[0], self.certificate.subject, key, self.certificate.not_valid_before_utc)
        certificate = (
            builder.add_extension(x509.SubjectAlternativeName(known_as), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        return certificate.sign(self.key, _sha256()), key


def server_context(directory: Path, clock: Clock) -> ssl.SSLContext:
    """Make a fresh authority and server certificate in a folder and return a server's context of them.

    Writes ``ca.pem`` (for clients to trust), ``server.pem`` and ``server-key.pem`` (readable by the owner alone).

    Raises:
        ConfigError: The folder cannot be written, or ``cryptography`` is not installed.
    """
    authority = make_authority(clock)
    certificate, key = authority.sign(NAMES, ADDRESSES)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _CA).write_bytes(_pem(authority.certificate))
        (directory / _CERTIFICATE).write_bytes(_pem(certificate))
        write_key(directory / _KEY, key)
    except OSError as error:
        raise ConfigError(f"--tls {directory}: {error.strerror}; name a folder that can be written") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / _CERTIFICATE, directory / _KEY)
    return context


def make_authority(clock: Clock) -> Authority:
    """Return an authority for the exchange's name and loopback, valid from now for a few days.

    Raises:
        ConfigError: ``cryptography`` is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ConfigError("--tls needs the package cryptography: pip install 'gmobot[emulator]'") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("gmobot emulator, for tests only")
    networks = [x509.IPAddress(ipaddress.ip_network(address)) for address in ADDRESSES]
    permitted = [*(x509.DNSName(host) for host in NAMES), *networks]
    now = datetime.fromtimestamp(clock.now_ns() // NS_PER_SECOND, UTC)
    builder = (
        _builder("gmobot emulator, for tests only", name, key, now - _LATE_CLOCK)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(_signs_certificates(), critical=True)
    )
    return Authority(builder.sign(key, _sha256()), key)


def write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    """Write a private key that only the owner may read."""
    from cryptography.hazmat.primitives import serialization as form

    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))


def _builder(common_name: str, issuer: x509.Name, key: EllipticCurvePrivateKey, start: datetime) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _signs_certificates() -> x509.KeyUsage:
    from cryptography import x509

    unused = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    return x509.KeyUsage(key_cert_sign=True, encipher_only=False, decipher_only=False, **unused)


def _sha256() -> hashes.SHA256:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
