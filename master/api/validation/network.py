"""Validation of addresses that carry traffic."""

from ipaddress import ip_address

from master.api.status import FieldError

BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def ip_errors(address: str, path: str) -> list[FieldError]:
    try:
        ip_address(address)
    except ValueError:
        return [FieldError.invalid(path, address, BAD_IP)]
    return []


def endpoint_ip_errors(address: str, path: str, *, family: str = "") -> list[FieldError]:
    """An address that a service may send to: no loopback, no link-local, of the family if one is given."""
    try:
        ip = ip_address(address)
    except ValueError:
        return [FieldError.invalid(path, address, BAD_IP)]
    if family in ("IPv4", "IPv6") and family != f"IPv{ip.version}":
        return [FieldError.invalid(path, address, f"must be an {family} address")]
    for forbidden, detail in (
        (ip.is_unspecified, f"may not be unspecified ({address})"),
        (ip.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (ip.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (ip.is_multicast, "may not be in the multicast range (224.0.0.0/4, ff00::/10)"),
    ):
        if forbidden:
            return [FieldError.invalid(path, address, detail)]
    return []
