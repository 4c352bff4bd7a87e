"""Client of Sigpersist, a server that stores the electronic signatures of documents.

`Client` and `AsyncClient` have the same methods. `Webhook` checks what the server calls you with, `TenantKey` signs
tokens, `sigpersist.models` has what the server answers, and `sigpersist.testing` a server in memory for your tests.
"""

from sigpersist._async_client import AsyncClient
from sigpersist._async_events import AsyncEvents, AsyncFollowing
from sigpersist._client import Client
from sigpersist._errors import NoAnswerError, SigpersistError
from sigpersist._events import Events, Following
from sigpersist._requests import DecisionFilters, Draft, Inspected, Saved, SaveOptions, SignatureFilters, StoredFile
from sigpersist._tokens import AsyncToken, TenantKey, Token
from sigpersist._version import __version__
from sigpersist.models import (
    Decision,
    Event,
    EventPage,
    Inspection,
    RecordedVerdict,
    Signature,
    SignaturePage,
    VersionConflictDetails,
)
from sigpersist.webhooks import Webhook, WebhookCall, WebhookError

__all__ = [
    "AsyncClient",
    "AsyncEvents",
    "AsyncFollowing",
    "AsyncToken",
    "Client",
    "Decision",
    "DecisionFilters",
    "Draft",
    "Event",
    "EventPage",
    "Events",
    "Following",
    "Inspected",
    "Inspection",
    "NoAnswerError",
    "RecordedVerdict",
    "SaveOptions",
    "Saved",
    "Signature",
    "SignatureFilters",
    "SignaturePage",
    "SigpersistError",
    "StoredFile",
    "TenantKey",
    "Token",
    "VersionConflictDetails",
    "Webhook",
    "WebhookCall",
    "WebhookError",
    "__version__",
]
