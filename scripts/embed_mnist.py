"""Write fastmlp/data/mnist5k.npz: the first 5,000 rows of MNIST's training files, as small as deflate makes them.

    python scripts/embed_mnist.py [FOLDER]

FOLDER holds MNIST's IDX files; it defaults to $FASTMLP_MNIST_DIR. Equal input gives an equal file, byte for byte, under
the same zlib: the entries carry no time.
"""

import argparse
import io
import os
import zipfile
from pathlib import Path

import numpy as np

from fastmlp import datasets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("FASTMLP_MNIST_DIR"))
    parser.add_argument("--output", type=Path, default=datasets._EMBEDDED_FILE)
    arguments = parser.parse_args()
    if arguments.folder is None:
        parser.error("give the folder of MNIST's IDX files, or set FASTMLP_MNIST_DIR")

    X, y = datasets._load_idx(Path(arguments.folder), datasets._EMBEDDED_ROWS)
    with zipfile.ZipFile(arguments.output, "w") as archive:
        for name, array in (("images", X), ("labels", y.astype(np.uint8))):
            entry = io.BytesIO()
            np.save(entry, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    print(f"{arguments.output}: {len(X):,} rows, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
