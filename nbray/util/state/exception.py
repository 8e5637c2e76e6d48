"""Errors of the state API."""

from __future__ import annotations


class RayStateApiException(Exception):
    """The cluster could not be asked, or not in this way."""


class ServerUnavailable(RayStateApiException):
    """The cluster did not answer."""


class DataSourceUnavailable(Exception):
    """One of the processes that were asked did not answer."""
