"""Reads what a page of `agent report` holds about its trials."""

import base64
import gzip
import json
import re
from typing import Any


def details_of(page: str) -> dict[str, Any]:
    """Return what a page has about its trials, by their marks."""
    block = re.search(r'<script type="application/gzip" id="details">([A-Za-z0-9+/=]*)</script>', page)
    assert block is not None
    found = json.loads(gzip.decompress(base64.b64decode(block[1])))
    assert isinstance(found, dict)
    return found
