"""Who we depend on and under which licence: every installed package that bayescale pulls in.

    python .ci/audit.py [EXTRA ...]

Works offline, from the metadata of what is installed. Fails on a licence that is not on the list, a
package that states none, a version below the bound that pyproject.toml states, or a dependency that
has no lower bound. It knows nothing of vulnerabilities: that needs a network (`pip-audit`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Open-MPI",
    "0BSD",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "ISC",
    "HPND",
    "PSF-2.0",
    "Python-2.0",
    "MPL-2.0",  # file by file, and nothing of it is changed or bundled here
    "Zlib",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "LicenseRef-NVIDIA-Software-License",  # of the extras cuda12 and cuda13 alone
}
SPOKEN = {  # what metadata say in words
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "bsd-3": "BSD-3-Clause",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mit": "MIT",
    "isc license (iscl)": "ISC",
    "python software foundation license": "PSF-2.0",
    "psf": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "historical permission notice and disclaimer (hpnd)": "HPND",
    "the unlicense (unlicense)": "Unlicense",
}
READ = {  # packages whose metadata say nothing of use, and what their licence file says
    "matplotlib": "PSF-2.0",
    "jaxlib": "Apache-2.0",
    "opt-einsum": "MIT",
    "cycler": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
}
WORDS = re.compile(r"\s+(?:AND|OR|and|or)\s+")


def licences(package: Distribution) -> set[str]:
    """SPDX names of what a package says of its licence; empty where it says nothing known."""
    name = canonicalize_name(package.metadata["Name"])
    if expression := package.metadata.get("License-Expression"):
        parts = WORDS.split(expression.replace("(", "").replace(")", ""))
        return {SPOKEN.get(part.strip().lower(), part.strip()) for part in parts}
    said = [
        text.rpartition(" :: ")[2]
        for text in package.metadata.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    said += (package.metadata.get("License") or "").strip().splitlines()[:1]
    found = set()
    for text in said:
        for part in WORDS.split(text.strip().rstrip(".")):
            spdx = part if part in ALLOWED else SPOKEN.get(part.lower())
            found |= {spdx} if spdx else set()
    return found or ({READ[name]} if name in READ else set())


def _choice(package: Distribution) -> bool:
    """Whether its user may choose between licences."""
    return " OR " in (package.metadata.get("License-Expression") or "")


def required(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    """What a package needs here, with these extras."""
    for text in package.requires or []:
        need = Requirement(text)
        environments = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
        if need.marker is None or any(need.marker.evaluate(e) for e in environments):
            yield need


def closure(extras: set[str]) -> dict[str, Distribution]:
    """Every installed package that bayescale needs, directly or not."""
    found: dict[str, Distribution] = {}
    todo = [("bayescale", extras)]
    while todo:
        name, wanted = todo.pop()
        name = canonicalize_name(name)
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed, or of another platform
        todo += [(need.name, need.extras) for need in required(found[name], wanted)]
    return found


def faults(extras: set[str]) -> list[str]:
    """Everything that must be mended, one sentence each."""
    packages = closure(extras)
    said = []
    for need in required(packages["bayescale"], extras):
        bounded = any(s.operator in (">=", "==", "~=") for s in need.specifier)
        if not bounded and canonicalize_name(need.name) != "bayescale":
            said.append(f"{need.name} has no lower bound in pyproject.toml")
        installed = packages.get(canonicalize_name(need.name))
        if installed is not None and not need.specifier.contains(
            installed.version, prereleases=True
        ):
            said.append(f"{need.name} {installed.version} is installed, but {need} is asked for")
    for name, package in sorted(packages.items()):
        found = licences(package)
        if not found:
            said.append(f"{name} {package.version} states no licence that is known here")
        elif not found <= ALLOWED and not (_choice(package) and found & ALLOWED):
            said.append(f"{name} {package.version} is under {', '.join(sorted(found))}")
    return said


def main() -> int:
    """Print the list, then what is wrong with it."""
    extras = set(sys.argv[1:])
    packages = closure(extras)
    for name, package in sorted(packages.items()):
        print(f"{name:<28} {package.version:<14} {', '.join(sorted(licences(package)))}")
    said = faults(extras)
    print(f"{len(packages)} packages, {len(said)} faults")
    for fault in said:
        print(f"  - {fault}")
    return bool(said)


if __name__ == "__main__":
    raise SystemExit(main())
