"""One or more lines for each command, as a reader may copy them; tests read every one."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "demo": (("fit the bundled ladder and write plots", "bayescale demo --out bayescale-demo"),),
    "init": (
        ("a table and a card to start from, here", "bayescale init"),
        ("in a folder of their own", "bayescale init my-study"),
    ),
    "read": (
        ("what an export of Weights & Biases holds", "bayescale read wandb_export.csv"),
        (
            "TensorBoard logs as a table, tokens from steps",
            "bayescale read logs --columns N=n_params 'D=step * 524288' --out runs.csv",
        ),
    ),
    "doctor": (("what would be used on this machine", "bayescale doctor"),),
    "laws": (
        ("all laws", "bayescale laws"),
        ("one in full, with its published constants", "bayescale laws chinchilla"),
    ),
    "fit": (
        (
            "a table with its own column names",
            "bayescale fit runs.csv --law chinchilla --columns N=params D=tokens --out fit.nc",
        ),
        (
            "only small runs, floors that differ by corpus",
            "bayescale fit runs.csv --law bottleneck --where 'C<3e20' --pool E=corpus --out fit.nc",
        ),
    ),
    "predict": (
        ("one more run", "bayescale predict fit.nc --at N=7e10,D=1.4e12,family=dense"),
        (
            "many targets, for a program",
            "bayescale predict fit.nc --targets targets.csv --prob 0.8 --json",
        ),
    ),
    "allocate": (
        (
            "a training budget for one family",
            "bayescale allocate fit.nc --compute 1e24 --at family=dense",
        ),
        (
            "with ten trillion tokens to serve",
            "bayescale allocate fit.nc --compute 1e24 --inference-tokens 1e13 --at family=dense",
        ),
    ),
    "compare": (
        ("recipes at one budget", "bayescale compare fit.nc --by recipe --at C=1e22"),
        ("on one corpus", "bayescale compare fit.nc --at C=1e22,corpus=prose"),
    ),
    "next": (
        (
            "which of the runs in a table are worth their cost",
            "bayescale next fit.nc --candidates pool.csv --budget 1e21",
        ),
    ),
    "backtest": (
        (
            "fit what cost less, predict what cost more",
            "bayescale backtest runs.csv --law chinchilla --cut 'C<3e20'",
        ),
    ),
    "report": (
        ("one page with everything", "bayescale report fit.nc --out report.html"),
        (
            "for your target and budget, as Markdown",
            "bayescale report fit.nc --at N=7e10,D=1.4e12,family=dense --compute 1e24"
            " --out report.md",
        ),
    ),
    "completion": (
        ("in bash, from now on", 'eval "$(bayescale completion bash)"'),
        ("in fish, for good", "bayescale completion fish > bayescale.fish"),
    ),
}
