"""Credentials in URLs: find them, and remove them from everything that is shown or stored."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^\s/?#'\"<>]*@")
# Query parameters of signed URLs (Amazon's X-Amz-…, Google's X-Goog-…, Azure's sig) and of URLs with tokens.
_SECRET = re.compile(
    r"(?i)(?<=[?&])((?:x-(?:amz|goog)-[\w-]+|awsaccesskeyid|googleaccessid|signature|sig|policy|key-pair-id|"
    r"[\w.-]*(?:token|secret|password|passwd|pwd|credential|auth|api_?-?key)[\w.-]*|key)=)[^&\s'\"<>)]+"
)
_HIDDEN = "***"


def without_credentials(text: str) -> str:
    """Return a text with the user, password and secret query parameters of all its URLs replaced by `***`."""
    return _SECRET.sub(rf"\g<1>{_HIDDEN}", _USER.sub(f"{_HIDDEN}@", text))


def has_credentials(url: str) -> bool:
    """Return whether a URL contains a user, a password or a secret query parameter."""
    return without_credentials(url) != url
