"""Validates a folder as a Provenance Run Crate, without a network: `python tests/validate_crate.py FOLDER [recommended]`.

For the Python of an environment that has roc-validator, which goes with no other package here (images/crate.lock). The one document
that it reads from the web, RO-Crate's context, is put into its cache beforehand.
"""

import io
import lzma
import sys
import tempfile
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def fill(cache: Path) -> None:
    """As if the context had been read from the web."""
    content = lzma.decompress((Path(__file__).parent / "data" / "ro_crate_1.1_context.json.xz").read_bytes())
    raw = urllib3.HTTPResponse(
        io.BytesIO(content), {"Content-Type": "application/ld+json"}, 200, request_url=CONTEXT, preload_content=False
    )
    with CachedSession(str(cache), backend="sqlite") as session:
        request = session.prepare_request(requests.Request("GET", CONTEXT))
        session.cache.save_response(HTTPAdapter().build_response(request, raw))


def validate(folder: str, severity: str) -> int:
    """Print what is wrong, one line each, and how many checks were made; returns the exit code."""
    with tempfile.TemporaryDirectory() as cache:
        fill(Path(cache) / "http")
        settings = ValidationSettings(
            rocrate_uri=folder,
            profile_identifier="provenance-run-crate-0.5",
            requirement_severity=severity,
            cache_path=Path(cache) / "http",
            offline=True,
        )
        result = services.validate(settings)
    for issue in result.get_issues():
        print(f"{issue.severity.name} {issue.check.identifier} {issue.violatingEntity or ''}: {issue.message}")
    checks = result.executed_checks
    print(f"{folder}: {len(checks)} checks, {len(result.get_issues())} issues")
    return 0 if result.passed() and checks else 1


if __name__ == "__main__":
    sys.exit(validate(sys.argv[1], (sys.argv[2:] or ["required"])[0].upper()))
