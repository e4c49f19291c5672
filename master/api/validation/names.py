"""The syntax of names, label keys and values, in Kubernetes' words.

Each function returns the faults of a value as a list of texts, empty when the value is fine.
"""

import re

_LABEL_FMT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FMT = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_1035_FMT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_FMT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FMT = f"({_QUALIFIED_FMT})?"
_CONFIG_KEY_FMT = "[-._a-zA-Z0-9]+"
_ENV_NAME_FMT = "[-._a-zA-Z][-._a-zA-Z0-9]*"

_LABEL = re.compile(_LABEL_FMT)
_SUBDOMAIN = re.compile(_SUBDOMAIN_FMT)
_LABEL_1035 = re.compile(_LABEL_1035_FMT)
_QUALIFIED = re.compile(_QUALIFIED_FMT)
_VALUE = re.compile(_VALUE_FMT)
_CONFIG_KEY = re.compile(_CONFIG_KEY_FMT)
_PORT_NAME = re.compile("[-a-z0-9]+")
_LETTER = re.compile("[a-z]")

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
CONFIG_KEY_MAX = 253
PORT_NAME_MAX = 15

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_FMT}')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_FMT}')"
)
_LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035_FMT}')"
)
_QUALIFIED_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED_FMT}')"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE_FMT}')"
)
_KEY_WORDS = (
    f"a valid label key {_QUALIFIED_WORDS} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)


def too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns_label_faults(name: str) -> list[str]:
    """RFC 1123 label: container names, namespaces, hostnames."""
    return _faults(name, _LABEL, LABEL_MAX, _LABEL_WORDS)


def dns_label_1035_faults(name: str) -> list[str]:
    """RFC 1035 label: Service names in the strict form."""
    return _faults(name, _LABEL_1035, LABEL_MAX, _LABEL_1035_WORDS)


def dns_subdomain_faults(name: str) -> list[str]:
    """RFC 1123 subdomain: names of most kinds."""
    return _faults(name, _SUBDOMAIN, SUBDOMAIN_MAX, _SUBDOMAIN_WORDS)


def _faults(name: str, pattern: re.Pattern[str], limit: int, words: str) -> list[str]:
    faults = [too_long(limit)] if len(name) > limit else []
    if not pattern.fullmatch(name):
        faults.append(words)
    return faults


def label_key_faults(key: str) -> list[str]:
    """`[prefix/]name` as in label keys, annotation keys, finalizers and resource names ("qualified names")."""
    if _QUALIFIED.fullmatch(key) and len(key) <= LABEL_MAX:
        return []
    prefix, slash, bare = key.rpartition("/")
    if "/" in prefix:
        return [_KEY_WORDS]
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash:
        faults += [f"prefix part {fault}" for fault in dns_subdomain_faults(prefix)]
    if not bare:
        faults.append("name part must be non-empty")
    elif len(bare) > LABEL_MAX:
        faults.append(f"name part {too_long(LABEL_MAX)}")
    if not _QUALIFIED.fullmatch(bare):
        faults.append(f"name part {_QUALIFIED_WORDS}")
    return faults


def label_value_faults(value: str) -> list[str]:
    faults = [too_long(LABEL_MAX)] if len(value) > LABEL_MAX else []
    if not _VALUE.fullmatch(value):
        faults.append(_VALUE_WORDS)
    return faults


def config_key_faults(key: str) -> list[str]:
    """Keys of ConfigMaps and Secrets."""
    faults = [too_long(CONFIG_KEY_MAX)] if len(key) > CONFIG_KEY_MAX else []
    if not _CONFIG_KEY.fullmatch(key):
        faults.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            f"'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY_FMT}')"
        )
    elif key == ".":
        faults.append("must not be '.'")
    elif key.startswith(".."):
        faults.append("must not be '..'" if key == ".." else "must not start with '..'")
    return faults


def env_name_faults(name: str) -> list[str]:
    """Environment variables: since 1.30 any printable ASCII character but `=`."""
    if name and all(" " <= char <= "~" and char != "=" for char in name):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def port_name_faults(name: str) -> list[str]:
    """IANA service names: container ports and named target ports."""
    faults = []
    if len(name) > PORT_NAME_MAX:
        faults.append(f"must be no more than {PORT_NAME_MAX} characters")
    if not _PORT_NAME.fullmatch(name):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _LETTER.search(name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def port_number_faults(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def generated_prefix(name: str) -> str:
    """A generateName as a name: the trailing dash is judged as if a suffix followed."""
    return name[:-1] + "a" if name.endswith("-") else name
