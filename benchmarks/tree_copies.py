#!/usr/bin/env python3
"""tree_copy beside cp -r and rsync -r: a tree of small files, and one large file, each into a fresh place.

    ./bazelw run -c opt //benchmarks:tree_copies
"""

import os
import shutil
import subprocess
import tempfile
import time

import side_by_side

DIRECTORIES = 100


def make_tree(root, files):
    # Sizes of 1 to 16 KiB that are the same every time.
    for number in range(files):
        directory = f"{root}/d{number % DIRECTORIES}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/f{number}", "wb") as file:
            file.write(os.urandom(1024 + number * 7919 % 15361))


def make_large_file(root, mebibytes):
    os.mkdir(root)
    with open(f"{root}/large", "wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))


def compare(title, source, commands, rounds):
    parent = os.path.dirname(source)

    def run(command):
        target = f"{parent}/target"
        # What was written before is not this one's to wait for.
        os.sync()
        begin = time.monotonic()
        subprocess.run([word.replace("TARGET", target) for word in command], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
        shutil.rmtree(target)
        return seconds

    results = side_by_side.measure({name: lambda command=command: run(command) for name, command in commands.items()}, rounds)
    print(side_by_side.table(f"{title}, median of {rounds} rounds", results, "tree_copy", "s", larger_is_better=False))


def main():
    parser = side_by_side.parser_of(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--files", type=int, default=10000, help="small files (10000)")
    parser.add_argument("--mebibytes", type=int, default=4096, help="size of the large file; 0 leaves it out (4096)")
    parser.add_argument("--directory", default=os.environ.get("BUILD_WORKING_DIRECTORY", "."), help="where to work (here)")
    parser.add_argument("--tree_copy", required=True, help="the program")
    arguments = parser.parse_args()
    rsync = side_by_side.find("rsync", "rsync")
    with tempfile.TemporaryDirectory(dir=arguments.directory) as work:
        for title, make, size in [
            (f"{arguments.files} files of 1 to 16 KiB", make_tree, arguments.files),
            (f"one file of {arguments.mebibytes} MiB", make_large_file, arguments.mebibytes),
        ]:
            if size == 0:
                continue
            source = f"{work}/source"
            make(source, size)
            commands = {"tree_copy": [arguments.tree_copy, "--quiet", source, "TARGET"], "cp -r": ["cp", "-r", source, "TARGET"]}
            if rsync is not None:
                commands["rsync -r"] = [rsync, "-r", f"{source}/", "TARGET"]
            compare(title, source, commands, arguments.rounds)
            shutil.rmtree(source)


if __name__ == "__main__":
    main()
