"""Certificates for tests, by the `openssl` command: one CA, one server, any number of users."""

import subprocess
from pathlib import Path


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


class TestAuthority:
    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = str(folder / "ca.crt")
        self._ca_key = str(folder / "ca.key")
        subject = ["-subj", "/CN=test-ca", "-days", "2", "-nodes"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        _openssl("req", "-x509", *key, *subject, "-keyout", self._ca_key, "-out", self.ca_file)

    def issue(self, name: str, organisations: tuple[str, ...] = (), *, server: bool = False) -> tuple[str, str]:
        """(certificate file, key file) of a user or of a loopback server."""
        stem = self.folder / name.replace(":", "_")
        certificate, key, request, extensions = (f"{stem}.{end}" for end in ("crt", "key", "csr", "ext"))
        subject = "".join(f"/O={organisation}" for organisation in organisations) + f"/CN={name}"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl("req", *curve, "-subj", subject, "-keyout", key, "-out", request)
        usage = "serverAuth" if server else "clientAuth"
        names = "subjectAltName=IP:127.0.0.1,DNS:localhost\n" if server else ""
        Path(extensions).write_text(f"extendedKeyUsage={usage}\n{names}")
        signing = ["-CA", self.ca_file, "-CAkey", self._ca_key, "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", certificate)
        return certificate, key
