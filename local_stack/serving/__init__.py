"""Serving: local REST endpoints. Importing it declares the commands and nothing heavy."""

from local_stack.serving.endpoints import (
    Endpoint,
    EndpointList,
    EndpointLog,
    EndpointStatus,
    Prediction,
    listing,
    log,
    predict,
    start,
    status,
    stop,
)

__all__ = [
    "Endpoint",
    "EndpointList",
    "EndpointLog",
    "EndpointStatus",
    "Prediction",
    "listing",
    "log",
    "predict",
    "start",
    "status",
    "stop",
]
