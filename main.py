"""The deployed functions. A process serves one of them, and loads no other."""

import gc
import importlib

FUNCTIONS = (
    "account",
    "batch",
    "batch_callback",
    "edit",
    "gemini",
    "generate",
    "models",
    "on_upload",
    "openai",
    "provider_webhook",
    "run_request",
    "studio",
    "sweep",
    "three_d",
)
"""Each is a file of `functions/`, with a function of that name."""


def __getattr__(name: str) -> object:
    """The function of that name, which the framework takes for an attribute. Nothing that is
    imported is garbage, and looking for some takes a tenth of a start."""
    if name not in FUNCTIONS:
        raise AttributeError(f"there is no function {name!r}")
    gc.disable()
    try:
        return getattr(importlib.import_module(f"functions.{name}"), name)
    finally:
        gc.freeze()
        gc.enable()
