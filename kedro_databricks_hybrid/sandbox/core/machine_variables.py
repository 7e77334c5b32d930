"""The environment variables that describe this machine; every process that the sandbox starts gets them.

No other variable of the shell that started the sandbox, such as a login, is passed on.
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
        # shared libraries
        "LD_LIBRARY_PATH",
        # features of the processor, for the C library, NumPy and Arrow
        *("GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "ARROW_USER_SIMD_LEVEL"),
        # number of threads
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
"""Variables by their full name."""

PREFIXES = (
    *("LC_", "DYLD_"),
    # linear algebra: kernels for this processor, number of threads
    *("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "NUMEXPR_", "NVPL_", "ONEDNN_", "VECLIB_"),
    "PIP_",  # package indexes
    "COVERAGE_",  # coverage.py, to measure code that runs on a cluster
)
"""Variables by the beginning of their name."""

_NOT_PASSED_ON = {"PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}


def machine_variables() -> dict[str, str]:
    """Return the variables of this process that describe the machine."""
    return {name: value for name, value in os.environ.items() if _describes_the_machine(name)}


def _describes_the_machine(name: str) -> bool:
    return (name in NAMES or name.startswith(PREFIXES)) and name not in _NOT_PASSED_ON
