"""The description of the HTTP API, made from the structs it answers with."""

from __future__ import annotations

import json
from typing import Any

from gmobot import __version__
from gmobot.ops.artifacts import FILES, schema

_JSON = "application/json"
COMMANDS = {
    "pause": "Open no new position until resumed; exits go on.",
    "resume": "Trade again; with acknowledge also end a halt, and arm this configuration.",
    "halt": "Cancel entries, keep protective stops, open nothing until an acknowledged resume.",
    "flatten": "Halt, then close what the bot owns.",
}


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths = {
        "/healthz": _get("Whether the daemon is well; names what is not.", _ref("Health"), {"503": "A check fails."}),
        "/livez": _get("The process is alive.", {"type": "object"}),
        "/readyz": _get("Whether it could trade now.", {"type": "object"}, {"503": "It could not."}),
        "/metrics": _get("Prometheus or OpenMetrics text.", {"type": "string"}, media="text/plain"),
        "/api/v1/progress": _get("Where the run stands.", _ref("RunProgress")),
        "/api/v1/complete": _get("Summary of the run so far.", _ref("RunComplete"), {"404": "There is none yet."}),
        "/api/v1/events": _get("The newest audit events.", {"type": "array", "items": {"type": "object"}}),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "gmobot", "version": __version__},
        "paths": paths | {f"/api/v1/control/{name}": _command(text) for name, text in COMMANDS.items()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"controlToken": {"type": "http", "scheme": "bearer"}},
        },
    }


def _get(summary: str, content: dict[str, Any], others: dict[str, str] | None = None, *, media: str = _JSON) -> dict[str, Any]:
    refusals = {status: {"description": text} for status, text in ({"403": "Host is not allowed."} | (others or {})).items()}
    return {"get": {"summary": summary, "responses": {"200": {"description": "OK", "content": {media: {"schema": content}}}} | refusals}}


def _command(summary: str) -> dict[str, Any]:
    texts = {
        "400": "The body is not what is expected.",
        "401": "The token is missing or wrong.",
        "403": "No token is configured, or the Host is not allowed.",
        "409": "The daemon refuses; message says why.",
        "415": "The content type is not JSON.",
        "429": "Too many commands.",
    }
    done = {"200": {"description": "Done.", "content": {_JSON: {"schema": _ref("Answer")}}}}
    return {
        "post": {
            "summary": summary,
            "security": [{"controlToken": []}],
            "requestBody": {"required": False, "content": {_JSON: {"schema": _ref("Command")}}},
            "responses": done | {status: {"description": text} for status, text in texts.items()},
        }
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Any]:
    parts: dict[str, Any] = {name: part for kind in FILES.values() for name, part in schema(kind)["$defs"].items()}
    moved: dict[str, Any] = json.loads(json.dumps(parts).replace("#/$defs/", "#/components/schemas/"))
    names = {"type": "array", "items": {"type": "string"}}
    health = {"status": {"enum": ["ok", "failing"]}, "failing": names, "checks": {"type": "object"}}
    answer = {"accepted": {"type": "boolean"}, "message": {"type": ["string", "null"]}}
    moved["Health"] = {"type": "object", "properties": health, "required": list(health)}
    moved["Answer"] = {"type": "object", "properties": answer, "required": list(answer)}
    moved["Command"] = {"type": "object", "properties": {"acknowledge": {"type": "boolean"}}, "additionalProperties": False}
    return moved
