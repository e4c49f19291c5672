"""The cluster's certificates, made by the `openssl` command (a Rust-free seam of one class).

Two authorities: one for the API (servers, users, kubelets), one for the store's members, so that no API
credential opens the store. Keys are ECDSA P-256, files 0600.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

CA_DAYS = 3650
CERTIFICATE_DAYS = 365
OPENSSL_TIMEOUT_S = 30

Usage = Literal["server", "client", "peer"]
_EXTENDED_USAGE: dict[Usage, str] = {
    "server": "serverAuth",
    "client": "clientAuth",
    "peer": "serverAuth,clientAuth",
}


class CertificateAuthority:
    """A signing key in a folder: `<name>.crt`, `<name>.key`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"

    def ensure(self, common_name: str) -> None:
        """Creates the authority unless it exists."""
        if self.certificate.exists() and self.key.exists():
            return
        self.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _new_key(self.key)
        arguments = ["req", "-x509", "-new", "-key", str(self.key), "-out", str(self.certificate)]
        arguments += ["-days", str(CA_DAYS), "-subj", f"/CN={common_name}"]
        arguments += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl(arguments)

    def issue(
        self,
        stem: Path,
        *,
        common_name: str,
        organizations: Sequence[str] = (),
        addresses: Sequence[str] = (),
        names: Sequence[str] = (),
        usage: Usage,
    ) -> None:
        """Writes `<stem>.crt` and `<stem>.key` unless they exist; addresses and names become SANs."""
        certificate, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
        if certificate.exists() and key.exists():
            return
        stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _new_key(key)
        subject = "".join(f"/O={o}" for o in organizations) + f"/CN={common_name}"
        sans = [f"IP:{a}" for a in addresses] + [f"DNS:{n}" for n in names]
        extensions = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature"]
        extensions.append(f"extendedKeyUsage={_EXTENDED_USAGE[usage]}")
        if sans:
            extensions.append(f"subjectAltName={','.join(sans)}")
        with tempfile.TemporaryDirectory() as scratch:
            request, extfile = Path(scratch, "request.csr"), Path(scratch, "extensions.cnf")
            extfile.write_text("\n".join(extensions) + "\n")
            _openssl(["req", "-new", "-key", str(key), "-out", str(request), "-subj", subject])
            arguments = ["x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key)]
            arguments += ["-CAserial", str(Path(scratch, "serial")), "-CAcreateserial", "-days", str(CERTIFICATE_DAYS)]
            _openssl([*arguments, "-extfile", str(extfile), "-out", str(certificate)])


def _new_key(path: Path) -> None:
    _openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)])
    path.chmod(0o600)


def _openssl(arguments: Sequence[str]) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=OPENSSL_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
