"""The command ``fastmlp warmup``."""

import argparse

import fastmlp
from fastmlp.cli.options import rates, widths


def run(arguments: argparse.Namespace) -> int:
    """Carry the command out and return the exit status."""
    seconds = fastmlp.warmup(
        num_features=arguments.num_features,
        hidden=widths(arguments.hidden),
        num_outputs=arguments.num_outputs,
        optimizer=arguments.optimizer,
        dropout=rates(arguments.dropout),
        clip_norm=arguments.clip_norm,
        ema_decay=arguments.ema_decay,
        label_smoothing=arguments.label_smoothing,
        dtype=arguments.dtype,
        everything=arguments.everything,
    )
    print(f"compiled code is ready after {seconds:.2f} s")
    return 0
