"""The environment variables that describe this machine: every process that the sandbox starts gets them.

Whatever else the shell has in which someone started the sandbox, such as logins, stays behind.
docs/reference/sandbox.md lists the same names.
"""

from __future__ import annotations

import os

NAMES = frozenset(
    {
        # the user and the language
        *("USER", "LOGNAME", "LANG", "LANGUAGE", "TZ"),
        # Java
        *("JAVA_HOME", "SPARK_SUBMIT_OPTS"),
        # where libraries are found
        "LD_LIBRARY_PATH",
        # what the processor can do, for the C library, NumPy and Arrow
        *("GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "ARROW_USER_SIMD_LEVEL"),
        # how many threads compute
        *("GOTO_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "NUMBA_NUM_THREADS"),
        *("POLARS_MAX_THREADS", "RAYON_NUM_THREADS"),
        # certificates
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO"),
        *("AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS"),
        *("NIX_SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"),
        # proxies
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    }
)
"""Variables by their whole name."""

PREFIXES = (
    *("LC_", "DYLD_"),
    # linear algebra: which kernels for this processor, and how many threads
    *("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "NUMEXPR_", "NVPL_", "ONEDNN_", "VECLIB_"),
    "PIP_",  # where packages come from
    "COVERAGE_",  # coverage.py, to measure what runs on a cluster too
)
"""Variables by how their name begins."""

_NOT_PASSED_ON = {"PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}


def machine_variables() -> dict[str, str]:
    """Return those of this process that belong to the machine."""
    return {name: value for name, value in os.environ.items() if _belongs_to_the_machine(name)}


def _belongs_to_the_machine(name: str) -> bool:
    return (name in NAMES or name.startswith(PREFIXES)) and name not in _NOT_PASSED_ON
