"""What is left when a process is killed, a disk is full, a folder is shut, or two write at once.

    python tests/studies/faults.py kill fit|many|backtest [--times 34] [--minutes 5]
    python tests/studies/faults.py kill write [--times 100]
    python tests/studies/faults.py kill interrupt [--times 40]
    python tests/studies/faults.py disk
    python tests/studies/faults.py shut
    python tests/studies/faults.py two
    python tests/studies/faults.py summary

Results stand in `results/faults.csv`, a row a trial; `kill` goes on where it stopped.

kill: SIGKILL at a moment drawn uniformly from the length of an undisturbed run. Afterwards the
named file is the old one to the bit or the new one whole; a store holds whole problems only, and
the next run with it gives the undisturbed run's bits. `write` aims at the writing itself;
`interrupt` is SIGINT, as from Ctrl-C, in the first seconds of a fit that would take hours: it ends,
and the named file is the old one. disk: a file system of a few blocks, and a limit on the size of
files. shut: a folder and a home that can't be written. two: two processes write one file, and share
one store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from record import RESULTS, provenance, read, write  # noqa: E402

FOUND = RESULTS / "faults.csv"
SAVED = HERE.parent / "saved"
OLD = SAVED / "families_0.1.0.nc"
NEW = SAVED / "bent_0.1.0.nc"
PROBLEMS = 12
PYTHON = [sys.executable, "-m", "bayescale"]
SHORT = ["--draws", "150", "--warmup", "150", "--chains", "2", "--force"]


def note(rows: list[dict]) -> None:
    table = pd.DataFrame([{**row, **provenance(0)} for row in rows])
    write(FOUND, pd.concat([read(FOUND), table]))
    for row in rows:
        print({k: row[k] for k in ("fault", "trial", "at", "left", "ok")}, flush=True)


def runs_table(folder: Path, seed: int = 0) -> Path:
    """Twelve runs on one curve."""
    rng = np.random.default_rng(seed)
    x = np.geomspace(1e6, 1e9, 12)
    loss = (1.5 + 30 * x**-0.3) * np.exp(0.01 * rng.standard_normal(12))
    path = folder / f"runs{seed}.csv"
    pd.DataFrame({"C": x, "loss": loss}).to_csv(path, index=False)
    return path


def same_fit(a: Path, b: Path) -> bool:
    """Equal draws, bit for bit (a file also tells when it was made, which differs)."""
    from bayescale.storage import load

    one, two = load(a).data, load(b).data
    return all(one[k].dataset.equals(two[k].dataset) for k in ("posterior", "coordinates"))


# --- kill -9 ------------------------------------------------------------------------------------


def killed(command: list[str], after: float, folder: Path) -> bool:
    """Run a command in `folder` and kill it after so many seconds; whether it was still running."""
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        child.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def kill_fit(folder: Path, trials: range, rng: random.Random, deadline: float) -> None:
    runs = runs_table(folder)
    command = [*PYTHON, "fit", runs.name, "--law", "power_law", *SHORT, "--out"]
    timed([*command, "reference.nc"], folder)  # compiles
    whole, _ = timed([*command, "reference.nc"], folder)
    out = folder / "fit.nc"
    for trial in trials:
        if time.perf_counter() > deadline:
            return
        shutil.copy(OLD, out)
        at = rng.uniform(0.0, whole)
        running = killed([*command, out.name], at, folder)
        if out.read_bytes() == OLD.read_bytes():
            left, ok = "the old file", running
        else:
            left, ok = "the new file", same_fit(out, folder / "reference.nc")
        note([_row("kill fit", trial, at, left + _parts(folder), ok)])


def _parts(folder: Path) -> str:
    parts = list(folder.rglob("*.part"))
    for part in parts:
        part.unlink()
    return f", {len(parts)} .part" if parts else ""


def _row(fault: str, trial: int, at: float, left: str, ok: bool) -> dict:
    return {"fault": fault, "trial": trial, "at": round(at, 3), "left": left, "ok": bool(ok)}


MANY = """
import sys, bayescale as bs, pandas as pd
from pathlib import Path
tables = [pd.read_csv(f"runs{i}.csv") for i in range(%d)]
law, options = bs.load_law("power_law"), {"discrepancy": "none", "progress": False}
many = bs.fit_many(law, tables, store=sys.argv[1], **options)
print([float(f.data["posterior"]["alpha"].sum()) for f in many])
"""


def kill_many(folder: Path, trials: range, rng: random.Random, deadline: float) -> None:
    from bayescale.shelf import Shelf

    for seed in range(PROBLEMS):
        runs_table(folder, seed)
    command = [sys.executable, "-c", MANY % PROBLEMS]
    timed([*command, "first"], folder)
    whole, reference = timed([*command, "reference"], folder)
    store = folder / "store"
    for trial in trials:
        if time.perf_counter() > deadline:
            return
        at = rng.uniform(0.3 * whole, whole)  # before, nothing but imports happens
        before = len(list(store.glob("*.npz")))
        running = killed([*command, store.name], at, folder)
        names = [p.stem for p in store.glob("*.npz")]
        ok = all(Shelf(store).find(name) is not None for name in names)
        ok &= all((folder / "reference" / f"{name}.npz").exists() for name in names)
        left = f"{before} problems before, {len(names)} after{_parts(store)}"
        if not running or len(names) == PROBLEMS:
            _, again = timed([*command, store.name], folder)
            ok &= again == reference
            left += ", resumed: the same bits" if again == reference else ", resumed: OTHER bits"
            shutil.rmtree(store)
        note([_row("kill fit_many", trial, at, left, ok)])


def kill_backtest(folder: Path, trials: range, rng: random.Random, deadline: float) -> None:
    runs = runs_table(folder)
    command = [*PYTHON, "backtest", runs.name, "--law", "power_law", *SHORT, "--cut", "C<2e8"]
    command.append("--json")
    timed(command, folder)
    whole, reference = timed(command, folder)
    kept = {p.name: p.read_bytes() for p in folder.iterdir()}
    for trial in trials:
        if time.perf_counter() > deadline:
            return
        at = rng.uniform(0.0, whole)
        killed(command, at, folder)
        ok = {p.name: p.read_bytes() for p in folder.iterdir()} == kept
        left = "nothing written"
        if trial % 8 == 7:  # the compile cache may have been cut off, too
            _, again = timed(command, folder)
            alike = _without_seconds(again) == _without_seconds(reference)
            ok, left = ok and alike, left + (", again: the same" if alike else ", again: OTHER")
        note([_row("kill backtest", trial, at, left, ok)])


def _without_seconds(text: str) -> dict:
    return {k: v for k, v in json.loads(text).items() if k != "seconds"}


def kill_write(folder: Path, trials: range, rng: random.Random, deadline: float) -> None:
    """Fork a process that does nothing but save two fits in turn, and kill it."""
    from bayescale.storage import load, save

    one, two = load(OLD), load(NEW)
    out = folder / "fit.nc"
    save(one, out)
    for trial in trials:
        at = rng.uniform(0.0, 0.25)
        child = os.fork()
        if child == 0:
            while True:
                save(two, out)
                save(one, out)
        time.sleep(at)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        rows = len(load(out).runs)
        ok = rows in (len(one.runs), len(two.runs))
        note([_row("kill write", trial, at, f"a whole file{_parts(folder)}", ok)])


FIRST, ENDS = 8.0, 60.0  # seconds: imports, starts, compiling and sampling; and to end in
BY_INTERRUPTION = (130, -signal.SIGINT, 1)  # ours; Python's, while it imports us or starts itself


def interrupt(folder: Path, trials: range, rng: random.Random, deadline: float) -> None:
    runs = runs_table(folder)
    out = folder / "fit.nc"
    command = [*PYTHON, "fit", runs.name, "--law", "power_law", "--draws", "1000000"]
    for trial in trials:
        if time.perf_counter() > deadline:
            return
        shutil.copy(OLD, out)
        at = rng.uniform(0.0, FIRST)
        cold = {**os.environ, "JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(dir=folder)}
        child = subprocess.Popen(
            [*command, "--out", out.name], cwd=folder, env=cold, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, preexec_fn=_heeds_interrupts,
        )  # fmt: skip
        time.sleep(at)
        child.send_signal(signal.SIGINT)
        try:
            _, said = child.communicate(timeout=ENDS)
            told = "told" if "nothing was written" in said else "not told"
            left = f"status {child.returncode}, {told}"
            ended = child.returncode in BY_INTERRUPTION
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            left, ended = f"still running {ENDS:.0f} s later", False
        same = out.read_bytes() == OLD.read_bytes()
        note([_row("interrupt fit", trial, at, left + _parts(folder), ended and same)])


def _heeds_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores them


KILLS: dict[str, tuple[str, Callable[[Path, range, random.Random, float], None]]] = {
    "fit": ("kill fit", kill_fit),
    "many": ("kill fit_many", kill_many),
    "backtest": ("kill backtest", kill_backtest),
    "write": ("kill write", kill_write),
    "interrupt": ("interrupt fit", interrupt),
}


def kill(what: str, times: int, minutes: float) -> None:
    table = read(FOUND)
    label, ends = KILLS[what]
    done = int((table["fault"] == label).sum()) if len(table) else 0
    with tempfile.TemporaryDirectory() as name:
        deadline = time.perf_counter() + 60 * minutes
        ends(Path(name), range(done, times), random.Random(f"{what} {done}"), deadline)


# --- full, shut, shared -------------------------------------------------------------------------


def refused(what: str, work: Callable[[], object], out: Path, old: bytes | None) -> dict:
    """One write that can't succeed: an error of ours, the old file, nothing else left."""
    from bayescale.errors import BayescaleError

    try:
        work()
        said = "wrote all the same"
    except BayescaleError as error:
        said = f"refused: {error}".replace(str(out.parent), "FOLDER")
    except Exception as error:
        said = f"FAULT {type(error).__name__}: {error}"
    kept = (out.read_bytes() if out.exists() else None) == old
    parts = [p.name for p in out.parent.iterdir() if p != out and p.suffix == ".part"]
    left = f"{said}; {'old file whole' if kept else 'OLD FILE LOST'}; {len(parts)} parts"
    return _row(what, 0, 0.0, left, said.startswith("refused") and kept and not parts)


def in_a_child(work: Callable[[], list[dict]]) -> list[dict]:
    """Run in a forked process, whose limits and rights end with it."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        try:
            told = work()
        except BaseException as error:
            told = [_row("child", 0, 0.0, f"FAULT {type(error).__name__}: {error}", False)]
        with os.fdopen(write_end, "w") as stream:
            json.dump(told, stream)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else [_row("child", 0, 0.0, f"died: {status}", False)]


def writers(folder: Path) -> list[tuple[str, Callable[[], object], Path]]:
    """Everything of the package that writes a file, at a path in `folder`."""
    from fuzz_parts.files import _drawn

    from bayescale import report
    from bayescale.files import write_whole
    from bayescale.shelf import Shelf
    from bayescale.storage import load, save

    fit, drawn = load(OLD), _drawn()
    shelf = Shelf(folder)
    out, page = folder / "out.nc", folder / "out.html"
    return [
        ("save", lambda: save(fit, out), out),
        (
            "write_whole",
            lambda: write_whole(page, b"x" * 300_000),
            page,
        ),
        ("report", lambda: report(fit, to=folder / "page.html"), folder / "page.html"),
        ("store", lambda: [shelf.put(f"p{i}", drawn) for i in range(200)], folder / "p199.npz"),
    ]


def disk() -> None:
    def limited() -> list[dict]:
        with tempfile.TemporaryDirectory() as name:
            made = writers(Path(name))
            for _, _, out in made:
                out.write_bytes(b"old")
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            sys.dont_write_bytecode = True  # of a late import Python would leave half a file
            rows = []
            for what, work, out in made:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
                rows.append(refused(f"file size limit: {what}", work, out, b"old"))
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
        return rows

    note(in_a_child(limited))
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", name]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            print("no right to mount a small file system: left out")
            return
        try:
            rows = []
            for what, work, out in writers(Path(name)):
                out.write_bytes(b"old")
                rows.append(refused(f"disk full: {what}", work, out, b"old"))
                for path in Path(name).iterdir():
                    path.unlink()
            note(rows)
        finally:
            subprocess.run(["umount", name], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody writes here, not even the administrator: what is there stays as it is."""
    if os.getuid():
        os.chmod(folder, 0o555)
        yield
        os.chmod(folder, 0o755)
        return
    held = {p.name: p.read_bytes() for p in folder.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    try:
        for file, content in held.items():
            (folder / file).write_bytes(content)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def shut() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, work = Path(name) / "shut", Path(name) / "work"
        folder.mkdir()
        work.mkdir()
        made = writers(folder)
        for _, _, out in made:
            out.write_bytes(b"old")
        runs = runs_table(work)
        home = {"HOME": folder, "XDG_CACHE_HOME": folder / "cache", "MPLCONFIGDIR": folder / "mpl"}
        environment = {**os.environ, **{k: str(v) for k, v in home.items()}}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        command = [*PYTHON, "fit", runs.name, "--law", "power_law", *SHORT, "--json", "--out"]

        def fitted(out: str) -> subprocess.CompletedProcess:
            return subprocess.run(
                [*command, out],
                cwd=work,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

        with read_only(folder):
            note([refused(f"read-only folder: {n}", job, out, b"old") for n, job, out in made])
            done = fitted("fit.nc")
            ok = done.returncode == 0 and (work / "fit.nc").exists()
            ok = ok and "Traceback" not in done.stderr and bool(json.loads(done.stdout))
            left = "fits and saves" if ok else f"status {done.returncode}: {done.stderr[-300:]}"
            note([_row("unwritable home: fit", 0, 0.0, left, ok)])
            done = fitted(str(folder / "new.nc"))
            said = (done.stderr.strip().splitlines() or [""])[-1].replace(str(folder), "FOLDER")
            ok = done.returncode == 2 and "Traceback" not in done.stderr
            left = f"status {done.returncode}: {said}"
            note([_row("read-only folder: fit --out", 0, 0.0, left, ok)])


def two() -> None:
    from bayescale.storage import load, save

    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "fit.nc"
        fits = [load(OLD), load(NEW)]
        save(fits[0], out)
        children = []
        for fit in fits:
            child = os.fork()
            if child == 0:
                for _ in range(60):
                    save(fit, out)
                os._exit(0)
            children.append(child)
        seen: dict[int, int] = {}
        while children:
            rows = len(load(out).runs)
            seen[rows] = seen.get(rows, 0) + 1
            children = [c for c in children if os.waitpid(c, os.WNOHANG) == (0, 0)]
        ok = set(seen) <= {len(f.runs) for f in fits}
        left = f"{sum(seen.values())} reads while two wrote: whole each time{_parts(Path(name))}"
        note([_row("two writers: save", 0, 0.0, left, ok)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(PROBLEMS):
            runs_table(folder, seed)
        command = [sys.executable, "-c", MANY % PROBLEMS, "store"]
        both = [
            subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        texts = [child.communicate()[0] for child in both]
        _, alone = timed([*command[:-1], "alone"], folder)
        ok = texts[0] == texts[1] == alone and len(list((folder / "store").iterdir())) == PROBLEMS
        left = "both, and one alone, give the same bits" if ok else "they differ"
        note([_row("two writers: fit_many", 0, 0.0, left, ok)])


def summary() -> None:
    table = read(FOUND)
    parts = table["left"].str.contains(r"\d .part").rename("left a .part")
    kinds = table["fault"].str.replace(r":.*", "", regex=True)
    print(
        table.assign(parts=parts, failed=~table["ok"], kind=kinds)
        .groupby("kind")
        .agg(trials=("ok", "size"), failed=("failed", "sum"), parts=("parts", "sum"))
        .to_string()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    killing = commands.add_parser("kill")
    killing.add_argument("what", choices=list(KILLS))
    killing.add_argument("--times", type=int, default=34)
    killing.add_argument("--minutes", type=float, default=5.0)
    for name in ("disk", "shut", "two", "summary"):
        commands.add_parser(name)
    given = parser.parse_args()
    if given.command == "kill":
        kill(given.what, given.times, given.minutes)
    else:
        {"disk": disk, "shut": shut, "two": two, "summary": summary}[given.command]()
    if not read(FOUND)["ok"].all():
        raise SystemExit(f"a fault left something behind: see {FOUND}")


if __name__ == "__main__":
    main()
