"""The sandbox's guesses: constants and behaviour for which no public source says what Databricks answers.

This is the only place that marks them. The page "Not verified against a live workspace" is generated from
`GUESSES`.
"""

from __future__ import annotations

from dataclasses import dataclass

# Git folders: status and code.
CONFLICT = (409, "GIT_CONFLICT")
UNKNOWN_REF = (404, "GIT_UNKNOWN_REF")

# Commands (API 1.2)
UNKNOWN_CLUSTER = "ClusterNotFoundException: Cluster {} does not exist"
STOPPED_CLUSTER = "ClusterNotRunningException: Cluster {} is not running (it is {})"
UNKNOWN_CONTEXT = "ContextNotFoundException: execution context not found: {} does not exist"
UNKNOWN_COMMAND = "CommandNotFoundException: command {} does not exist"
LOST_CONTEXT = "ContextInvalidException: execution context {} is invalid: {}"
TOO_MANY_CONTEXTS = "Too many execution contexts are open right now (limit {}), and none of them is idle."
MAX_TEXT = 50_000
"""The maximum number of characters that a command returns; notebook cells have this limit."""

# DBFS and volumes
REFUSED_PATH = (403, "PERMISSION_DENIED")
"""Status and code for a path below a disabled DBFS root, and for `/Volumes` in the DBFS API."""
MAX_DELETED_FILES = 10_000
"""After how many files a recursive delete stops. The documentation says after about 45 seconds."""
UPLOAD_SECONDS = 3600.0
"""How long an interrupted upload to a volume can be continued."""

MOUNT_REFUSED = (
    "An error occurred while calling {function}. Trace: py4j.security.Py4JSecurityException: Method public "
    "com.databricks.backend.daemon.dbutils.DBUtilsCore.{function}() is not whitelisted on class class "
    "com.databricks.backend.daemon.dbutils.DBUtilsCore"
)
"""How functions about mounts are refused on compute without `/dbfs`.

For `mount` and `mounts` with standard access mode, "DBUtilsCore.mount() is not whitelisted" is known.
"""

# Clusters
WITHOUT_DBFS_MOUNT_TOO = {"DATA_SECURITY_MODE_AUTO"}
"""The access modes that are taken for standard ones."""
CLUSTER_REFUSED = (400, "INVALID_PARAMETER_VALUE")
"""Status and code where a workspace has only serverless compute; the message is known."""
PYTHON_OF_RUNTIME_19 = (3, 12)

# Unity Catalog
NO_METASTORE_STATUS = 404
UNKNOWN_GRANTEE = (404, "PRINCIPAL_DOES_NOT_EXIST")

# Jobs
ONE_TASK = "main"
"""The key of a task that was submitted without one."""
NO_TASK_ENVIRONMENT = (
    "A task environment can not be provided for notebook task {key}. Please use the %pip magic command to "
    "install notebook-scoped Python libraries and Python wheel packages"
)
JOB_ROLES = ("View or Admin or Manage Run or Owner", "Manage Run or Admin or Owner", "Admin or Owner")
"""How a refusal names those who may view a job, manage its runs, and manage it."""
NO_EXPORT = "Run {} is not the run of one notebook task, so it cannot be exported. Export the run of a task."
UPSTREAM_CANCELLED = "An upstream task was cancelled."
CONDITIONS_NOT_MET = "The conditions to run this task were not met."
TOO_MANY_RUNS = "Skipped: the job has as many active runs as it may have."
QUEUED = "Queued due to the limit of concurrent runs."

# Permissions
UNKNOWN_LEVEL = "Invalid permission level '{}' for a {}: use one of {}."
UNKNOWN_SCOPE_LEVEL = "Invalid permission '{}': use one of {}."
UNKNOWN_SCOPE_PRINCIPAL = "Principal {} does not exist."

# Databricks Connect
NO_COMPUTE = "Missing required header: x-databricks-cluster-id or x-databricks-session-id"
TWO_COMPUTES = "x-databricks-cluster-id and x-databricks-session-id exclude one another"
CONNECT_UNKNOWN_CLUSTER = "Cluster {} does not exist"
CONNECT_STOPPED_CLUSTER = "Cluster {} is not running (it is {})"
UNPERSIST = "UNPERSIST TABLE"
CATALOG_CACHING = ("CACHE TABLE", "UNCACHE TABLE", "CLEAR CACHE")
"""How refusals on serverless compute name an operation; PERSIST TABLE is known."""


@dataclass(frozen=True)
class Guess:
    """One guess, in Markdown.

    Args:
        what: The case.
        answer: What the sandbox answers or does.
        client: What the client relies on.
        rows: The rows of `make contract` that compare it with a workspace.
        check: What to run on a workspace if no row does.
    """

    what: str
    answer: str
    client: str
    rows: tuple[str, ...] = ()
    check: str = ""


def _error(answer: tuple[int, str]) -> str:
    return f"{answer[0]} `{answer[1]}`"


def _codes(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _class(message: str) -> str:
    """Return the class of the exception with which a message of API 1.2 begins."""
    return f"`{message.partition(':')[0]}`"


GUESSES = (
    Guess(
        "checkout that would lose edits in a Git folder",
        f"{_error(CONFLICT)} with the files' names",
        "no wording: after a refusal about neither the credential nor a missing branch, the client compares "
        "the files and names the edits",
        rows=("checkout that would lose edits",),
    ),
    Guess(
        "branch or tag that the remote does not have",
        _error(UNKNOWN_REF),
        "the message is printed",
        rows=("branch that the remote does not have",),
    ),
    Guess(
        "the same checkout with a wrong credential",
        f"the remote refuses the login first; only then {_error(UNKNOWN_REF)}",
        "`doctor` tests the credential with such a branch",
        check="`databricks repos update ID --branch no-such-branch`, with a wrong Git credential",
    ),
    Guess(
        "remote that cannot be read, other than a missing one or a refused login",
        "400 `BAD_REQUEST` with git's message",
        "the message is printed",
        rows=("remote whose host does not exist",),
    ),
    Guess(
        "links in a Git folder",
        "listed as what they lead to, except if they lead to a folder above or out of the workspace",
        "a committed link is no edit if nothing is listed there, or what it leads to, or a file with its "
        "text",
        check="`databricks workspace list` of a Git folder with a committed link",
    ),
    Guess(
        "file in /Repos outside of the Git folders",
        "400 `DIRECTORY_PROTECTED`, as for a folder",
        "not used",
        rows=("file next to Git folders in /Repos",),
    ),
    Guess(
        "context on a cluster that is missing, or not running",
        f"400 {_class(UNKNOWN_CLUSTER)}, {_class(STOPPED_CLUSTER)}",
        "the client starts the cluster first",
        rows=("context on a missing cluster", "context on a stopped cluster"),
    ),
    Guess(
        "command in a lost context, or a lost command",
        f"400 {_class(LOST_CONTEXT)}, {_class(UNKNOWN_CONTEXT)}, {_class(UNKNOWN_COMMAND)}",
        "any refusal, and a status 500 without an error code, means that the context is lost; so do three "
        "other failures in a row while the cluster runs",
        rows=("status of a missing command", "command in a destroyed context"),
    ),
    Guess(
        "more than 145 contexts, none of them idle",
        f'400 "{TOO_MANY_CONTEXTS.format(145)}"',
        "the message is printed",
        check="146 contexts that each run `import time; time.sleep(600)`, by API 1.2",
    ),
    Guess(
        "command whose Python process died, or whose cluster terminated",
        "status `Error`, or the context is unknown",
        "any end without an end record is a failure; the client asks the cluster for the reason",
        rows=("command whose Python process dies",),
    ),
    Guess(
        "size from which the middle of a command's text output is left out",
        f"{MAX_TEXT:,} characters, as in notebook cells",
        "the client reads the run log instead; after %pip, output with a part cut out counts as an "
        "installation",
        rows=("characters of a long output",),
    ),
    Guess(
        "working directory of `%pip`",
        "the notebook's, which `%cd` changes",
        "the notebook of a project whose requirements name relative paths runs `%cd ..` before `%pip`",
        check="a notebook with the cells `%cd ..` and `%pip install ./folder`",
    ),
    Guess(
        "error of `dbutils.secrets.get` for a secret or a scope that does not exist",
        '"does not exist" in the message',
        "these words; any other error is printed as the reason",
        check='a notebook with the cell `dbutils.secrets.get("none", "none")`',
    ),
    Guess(
        "reading secrets with the REST API outside of a notebook",
        "allowed",
        "Databricks Connect reads the secret scope this way; a refusal is printed",
        check="`databricks secrets get-secret SCOPE KEY`",
    ),
    Guess(
        "`$name` in a line of `%pip`",
        "replaced by the variable's value, as IPython does",
        "passes the secrets of `compute.pip_options` to pip",
        check='a notebook with the cells `name = "six"` and `%pip install $name`',
    ),
    Guess(
        "DBFS root disabled",
        f'{_error(REFUSED_PATH)} "Public DBFS root is disabled" for every path below it; the root itself is '
        "listed",
        "the client asks for a path below the root; the message is printed; `init` asks for a volume at "
        '"disabled", "denied" or "not allowed"',
        check="`databricks fs ls dbfs:/FileStore --debug` on a workspace without a DBFS root",
    ),
    Guess(
        "path of a volume in the DBFS API",
        f"{_error(REFUSED_PATH)}",
        "not used",
        rows=("path of a volume in the DBFS API",),
    ),
    Guess(
        "DBFS move onto an existing folder",
        "refused; missing parents of the destination are created",
        "not used",
        rows=("DBFS move onto a folder", "DBFS move below a missing folder"),
    ),
    Guess(
        "recursive delete of very many DBFS files",
        f"503 `PARTIAL_DELETE` after {MAX_DELETED_FILES:,} files",
        "the request is repeated, as the SDK does with 503",
        check="`databricks fs rm -r --debug` of a folder with 100,000 files",
    ),
    Guess(
        "how long the parts of an interrupted upload to a volume stay",
        f"{UPLOAD_SECONDS:,.0f} seconds after the last request",
        "no particular time: if the parts are gone, the upload starts over; if signed URLs are refused, the "
        "file is sent in one request",
        check="kill `data push` of a large file; push again an hour and a day later",
    ),
    Guess(
        "`os.stat` of a missing path below `/dbfs` where other uses are `Errno 95`",
        "does not exist",
        "the run log and pandas datasets need `/dbfs` if the data root is on DBFS, not on a volume; Errno 95 "
        "is explained so",
        rows=("os.stat below /dbfs",),
    ),
    Guess(
        "`/dbfs` with access mode `AUTO`, and with legacy ones",
        f"refused with {_codes(*sorted(WITHOUT_DBFS_MOUNT_TOO))}; present with legacy ones",
        "the message is printed",
        check="`import os; os.listdir('/dbfs')` on a cluster of each mode",
    ),
    Guess(
        "`dbutils.fs.unmount` and `updateMount` with standard access mode",
        f'refused as `mount` is: "{MOUNT_REFUSED.format(function="unmount")}"',
        "not used",
        rows=("unmount of a path that is not mounted",),
    ),
    Guess(
        "`dbutils.fs.mount`, `updateMount`, `unmount` and `mounts` on serverless compute, and in a workspace "
        "whose DBFS root is disabled",
        "refused as with standard access mode",
        "not used",
        check='`dbutils.fs.unmount("/mnt/none")` and `dbutils.fs.mounts()` in a serverless notebook',
    ),
    Guess(
        "rename on `/dbfs` and `/Volumes`",
        "as on a local disk: an existing file is replaced",
        "the driver renames files of the run log to their final name",
        rows=("rename onto a file of a volume",),
    ),
    Guess(
        "container of Unity Catalog that is not empty",
        "400 `..._NOT_EMPTY`",
        'the message is printed; words such as "already exists", "does not exist", `PERMISSION_DENIED` and '
        '"does not have (privilege) on (object)" select the hint of `init`',
        rows=("schema that is not empty",),
    ),
    Guess(
        "workspace without Unity Catalog",
        f"{NO_METASTORE_STATUS} `METASTORE_DOES_NOT_EXIST` for `current-metastore-assignment`",
        "any 404 means that there is no Unity Catalog",
        check="`databricks metastores current --debug` on such a workspace",
    ),
    Guess(
        "default catalog",
        "`default_catalog_name` of the assignment",
        "this name; if it is missing, the workspace's default namespace, then the first catalog that is "
        "not a share",
        check="`databricks metastores current`, and `SELECT current_catalog()` in a notebook",
    ),
    Guess(
        "creating a cluster in a workspace without clusters",
        f'{_error(CLUSTER_REFUSED)} "Only serverless compute is supported in the workspace."',
        "the message is printed",
        check="`databricks clusters create` on Free Edition",
    ),
    Guess(
        "Python of Databricks Runtime 19",
        ".".join(map(str, PYTHON_OF_RUNTIME_19)),
        "not used",
        check="`import sys; sys.version` on such a cluster",
    ),
    Guess(
        "package versions of runtimes",
        "not returned",
        "published lists, see `project/runtime_packages.json`; none for 11.3 and ML runtimes",
        check="`%pip list` on such a cluster",
    ),
    Guess(
        "environment refused for a notebook task",
        '400 `INVALID_PARAMETER_VALUE` "'
        + NO_TASK_ENVIRONMENT.partition("{key}")[0]
        + '..." if the sandbox is switched so',
        'these words, with "can not" or "cannot"; any other message is printed',
        check="`kedro databricks deploy --serverless` and a run of the job",
    ),
    Guess(
        "constraints, hashes and `--require-hashes` in the dependencies of an environment",
        "as pip reads them in a file",
        "requirements on serverless compute have them",
        check="`kedro databricks run --serverless` of a project with a lock file that has hashes",
    ),
    Guess(
        "quota or limit that is reached; more tasks at the same time than Free Edition runs",
        "further tasks wait",
        'asks for a queue and says why the run waits; "quota", "limit ... exceeded" and similar words in the '
        "code or the message, and 429, mean that Databricks is busy",
        check="six runs at the same time on Free Edition: `kedro databricks run --serverless --detach`",
    ),
    Guess(
        "run-now with `job_parameters` that the job does not define",
        "they are passed to the run",
        "not used",
        rows=("run-now with an undefined parameter",),
    ),
    Guess(
        "key of a task that was submitted without one",
        f"`{ONE_TASK}`",
        "not used",
        rows=("key of a task that was submitted without one",),
    ),
    Guess(
        "message of a run or a task that does not start",
        f'"{UPSTREAM_CANCELLED}", "{CONDITIONS_NOT_MET}", "{TOO_MANY_RUNS}", "{QUEUED}"',
        "the message is printed",
        check="a job with `max_concurrent_runs: 1` that is started twice, with and without a queue",
    ),
    Guess(
        "refusal of a user without a permission on a job",
        "names those who have it: " + ", ".join(f'"{roles}"' for roles in JOB_ROLES),
        "the message is printed",
        check="`databricks jobs get`, `run-now` and `delete` as a user without permissions on the job",
    ),
    Guess(
        "runs/export of a run that is not that of one notebook task",
        f'"{NO_EXPORT.format("...")}"',
        "not used",
        check="`databricks jobs export-run` of a run with two tasks",
    ),
    Guess(
        "status and code of a grant that is refused",
        f"{_error(UNKNOWN_GRANTEE)} for a principal that does not exist, else 400 `INVALID_PARAMETER_VALUE`",
        "not used",
        check="`databricks grants update schema main.default` for a principal that does not exist",
    ),
    Guess(
        "a permission level that the object does not have, and a principal that does not exist",
        f'"{UNKNOWN_LEVEL.format("...", "job", "...")}", for secret scopes '
        f'"{UNKNOWN_SCOPE_LEVEL.format("...", "...")}" and "{UNKNOWN_SCOPE_PRINCIPAL.format("...")}"',
        "not used",
        check="`databricks permissions update jobs` with a level of folders; `databricks secrets put-acl`",
    ),
    Guess(
        "Databricks Connect: no compute or two, a cluster that does not exist or is not running",
        f'`INVALID_ARGUMENT` "{NO_COMPUTE}" or "{TWO_COMPUTES}"; '
        f'`NOT_FOUND` "{CONNECT_UNKNOWN_CLUSTER.format("...")}"; '
        f'`FAILED_PRECONDITION` "{CONNECT_STOPPED_CLUSTER.format("...", "TERMINATED")}"',
        "the client starts the cluster first; the message is printed",
        check="`DatabricksSession.builder.remote(cluster_id=...)` for a stopped and for a missing cluster",
    ),
    Guess(
        "Databricks Connect: the session after a cluster restarts",
        "gone",
        "not used",
        check="restart the cluster during a session, then `spark.range(1).count()`",
    ),
    Guess(
        "Spark Connect on serverless compute: `unpersist`, caching by SQL or the catalog, reading settings",
        f"refused as `PERSIST TABLE` is, with the names {_codes(UNPERSIST, *CATALOG_CACHING)}; "
        "every setting can be read",
        "not used",
        check='`spark.range(1).unpersist()` and `spark.sql("CACHE TABLE t")` on serverless compute',
    ),
)
