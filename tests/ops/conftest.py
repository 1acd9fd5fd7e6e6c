"""What tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.ops.webhooks import WebhookServer


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    """A server for webhooks."""
    made = WebhookServer()
    yield made
    made.close()
