"""Files of public repositories at one commit, each known by its SHA-256: from disk or the net."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bayescale.errors import BayescaleError
from bayescale.progress import reporter

HOST = "https://raw.githubusercontent.com"
DIGESTS = "upstream_sha256.txt"


@dataclass(frozen=True)
class Upstream:
    """Some files of a repository at a commit.

    Attributes
    ----------
    repository
        ``owner/name`` on GitHub.
    commit
        The full hash: the files can't change under it.
    inside
        The repository's folder that holds them, ended by a slash where it isn't the root.

    Examples
    --------
    >>> Upstream("owner/name", 40 * "0", "data/").folder
    'name'
    """

    repository: str
    commit: str
    inside: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder in a cache."""
        return self.repository.partition("/")[2]

    @property
    def url(self) -> str:
        """Where its files are."""
        return f"{HOST}/{self.repository}/{self.commit}/{self.inside}"

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file, by its path in the folder."""
        return dict(_digests(self.folder))


CHINCHILLA = Upstream(
    "epoch-research/analyzing-chinchilla", "92258837425e1b5f2851d624287f0120583a3d0e", "data/"
)
GADRE = Upstream("mlfoundations/scaling", "a003c4913793ac2ae7ef87b28ecb562955d026d5")
NSLPFN = Upstream("DongWooLee-Eli/nslpfn", "10a5a60911a2a22ef453d8b4ddf1408b6a6075d9", "data/")
MULTI_POWER = Upstream("thu-yao-01-luo/MultiPowerLaw", "8da9f1902602f3391b971a811e3cc51604541769")


def fetch(upstream: Upstream, kept: Path | None, progress: bool | None = None) -> dict[str, Path]:
    """Find an upstream's files, each checked against its SHA-256.

    Parameters
    ----------
    upstream
    kept
        A folder that holds ``raw/<name>/``: nothing is downloaded. None is the user's cache, where
        what is missing is downloaded to.
    progress
        Show a bar on standard error; where None, if somebody watches it.

    Returns
    -------
    dict
        Path in the repository's folder -> file.

    Raises
    ------
    BayescaleError
        A file is missing in `kept`, differs from what was pinned, or can't be downloaded.
    """
    digests = upstream.digests
    if kept is not None:
        return {name: _kept(kept, upstream, name, known) for name, known in digests.items()}
    shown = sys.stderr.isatty() if progress is None else progress
    cache = _cache(upstream, digests)
    found: dict[str, Path] = {}
    absent = [n for n, known in digests.items() if not _is(Path(cache.abspath) / n, known)]
    title = f"downloading {len(absent)} files of github.com/{upstream.repository}"
    with reporter(shown and bool(absent), title) as report:
        for name in digests:
            found[name] = Path(cache.abspath) / name
            if name in absent:
                found[name] = _download(cache, name, upstream)
                if report:
                    report(len(found), len(digests))
    return found


def cache_folder() -> Path:
    """Where downloads are kept, unless BAYESCALE_DATA names a folder."""
    import pooch

    return Path(pooch.os_cache("bayescale")) / "data"


def kept_folder() -> Path | None:
    """The folder that BAYESCALE_DATA names, if it is set.

    Raises
    ------
    BayescaleError
        It is set to what is no folder.
    """
    told = os.environ.get("BAYESCALE_DATA", "")
    if not told:
        return None
    if not Path(told).is_dir():
        raise BayescaleError(f"BAYESCALE_DATA is {told}, which is no folder")
    return Path(told)


def _digests(folder: str) -> Iterator[tuple[str, str]]:
    text = (files("bayescale") / "data" / DIGESTS).read_text(encoding="utf-8")
    for line in text.splitlines():
        path, _, digest = line.rpartition(" ")
        if path.startswith(f"{folder}/"):
            yield path.removeprefix(f"{folder}/"), digest


def _cache(upstream: Upstream, digests: dict[str, str]) -> Any:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    return pooch.create(
        path=cache_folder() / "raw" / upstream.folder,
        base_url=upstream.url,
        registry={name: f"sha256:{digest}" for name, digest in digests.items()},
        retry_if_failed=1,
    )


def _is(path: Path, digest: str) -> bool:
    import pooch

    return path.is_file() and pooch.file_hash(str(path)) == digest


def _kept(kept: Path, upstream: Upstream, name: str, digest: str) -> Path:
    path = kept / "raw" / upstream.folder / name
    if not path.is_file():
        raise BayescaleError(
            f"BAYESCALE_DATA has no raw/{upstream.folder}/{name}; nothing is downloaded while it "
            f"is set: unset it, or put the file there from {upstream.url}{name}"
        )
    if not _is(path, digest):
        raise BayescaleError(
            f"{path} isn't the file of commit {upstream.commit[:12]} (its SHA-256 differs); "
            f"replace it by {upstream.url}{name}"
        )
    return path


def _download(cache: Any, name: str, upstream: Upstream) -> Path:
    """Download one file whole; pooch writes to a temporary, checks it and renames it."""
    try:
        return Path(cache.fetch(name))
    except ValueError:
        raise BayescaleError(
            f"{upstream.url}{name} is not what was pinned (its SHA-256 differs); nothing was kept"
        ) from None
    except OSError as error:  # requests' errors are of this kind, too
        raise BayescaleError(
            f"{upstream.url}{name} can't be downloaded ({_reason(error)}); with a copy on disk, "
            f"set BAYESCALE_DATA to the folder that holds raw/{upstream.folder}/{name}"
        ) from None


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{error.filename} can't be written"
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return "no connection" if "onnection" in type(error).__name__ else type(error).__name__
