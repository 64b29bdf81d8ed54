"""Whether a server answers: ``python -m offline_trader.monitoring.probe [URL]``, for health checks.

Exit code 0 if the server at the URL (``https://127.0.0.1:8000`` by default) answers at all, 1 if it
does not. It is asked on this machine, whose name no certificate holds, so none is compared; nothing
secret is sent.
"""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

__all__ = ["is_alive", "main"]


def is_alive(url: str, *, limit_s: float = 2.5) -> bool:
    """Whether ``url``/healthz is answered, if only with "too many requests"."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=limit_s, context=context) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 429
    except (OSError, ValueError):
        return False


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    url = arguments[0] if arguments else "https://127.0.0.1:8000"
    if not url.startswith(("http://", "https://")):
        print(f"{url} is no http:// or https:// address", file=sys.stderr)
        return 1
    return 0 if is_alive(url) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
