"""Where the masters are and how this component proves who it is."""

import ssl

import msgspec


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a component's configuration file that `RestClient` needs.

    `servers` are URLs in order of preference; a master's own components name their own API server first."""

    servers: list[str]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """A context that trusts only the cluster's CA; None when every server is plain http (tests on loopback)."""
        if all(server.startswith("http://") for server in self.servers):
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        return context
