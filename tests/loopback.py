"""httpx for servers of a test: every client of httpx would first read all certificates of the world, 70 ms of it."""

from __future__ import annotations

from typing import Any

import httpx


def Client(**options: Any) -> httpx.Client:
    """As `httpx.Client`, for this machine only: no certificates, no proxy of the environment."""
    return httpx.Client(**{"verify": False, "trust_env": False, **options})


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """As `httpx.request`."""
    with Client(timeout=options.pop("timeout", 30.0)) as client:
        return client.request(method, url, **options)


def get(url: str, **options: Any) -> httpx.Response:
    return request("GET", url, **options)


def post(url: str, **options: Any) -> httpx.Response:
    return request("POST", url, **options)


def put(url: str, **options: Any) -> httpx.Response:
    return request("PUT", url, **options)
