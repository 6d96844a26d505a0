#!/usr/bin/env python3
"""Do to a cache what huggingface_hub does, and print as JSON what it says: the other side of hfcore-hub's tests.

    check_hub_cache.py version
    check_hub_cache.py scan CACHE                               scan_cache_dir
    check_hub_cache.py find CACHE TYPE ID REVISION PATH...      try_to_load_from_cache, hf_hub_download offline
    check_hub_cache.py verify CACHE TYPE ID COMMIT              `hf cache verify`, with the names of blobs as the truth
    check_hub_cache.py listing CACHE TYPE ID COMMIT COPY        the files of a commit, listed again for the commit COPY
    check_hub_cache.py download CACHE < FILES.json              hf_hub_download, the network replaced by the file
    check_hub_cache.py plan CACHE COMMIT...                     what deleting these revisions would free
    check_hub_cache.py delete CACHE COMMIT...                   and doing it
    check_hub_cache.py prune CACHE                              `hf cache prune --yes`
    check_hub_cache.py serve                                    one command a line, an object: command, cache, arguments, files, symlinks
    check_hub_cache.py lock CACHE TYPE ID ETAG [SECONDS]        hold the lock of a blob until standard input ends

FILES.json is a list of objects with `repo_type`, `repo_id`, `revision`, `commit`, `path`, `etag`, `text`, and `xet_hash`
or null. Everything runs through huggingface_hub's own functions. Needs huggingface_hub 2.4 or later.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_SYMLINKS_WARNING", "1")

import huggingface_hub
from huggingface_hub import file_download, hf_hub_download, scan_cache_dir, try_to_load_from_cache
from huggingface_hub._tree_cache import read_tree_cache, write_tree_cache
from huggingface_hub.file_download import XetFileData, repo_folder_name
from huggingface_hub.utils import WeakFileLock, _shared_blobs
from huggingface_hub.utils._verification import compute_file_hash


def below(path: str | os.PathLike[str], root: Path) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def scan(cache: Path) -> object:
    info = scan_cache_dir(cache)
    root = info.cache_dir
    repos = [
        {
            "type": repo.repo_type,
            "id": repo.repo_id,
            "size": repo.size_on_disk,
            "blobs": repo.nb_files,
            "last_accessed": int(repo.last_accessed),
            "last_modified": int(repo.last_modified),
            "revisions": [
                {
                    "commit": revision.commit_hash,
                    "size": revision.size_on_disk,
                    "refs": sorted(revision.refs),
                    "last_modified": int(revision.last_modified),
                    "files": [
                        {"path": below(file.file_path, revision.snapshot_path), "blob": below(file.blob_path, root),
                         "size": file.size_on_disk}
                        for file in sorted(revision.files, key=lambda file: below(file.file_path, root))
                    ],
                }
                for revision in sorted(repo.revisions, key=lambda revision: revision.commit_hash)
            ],
        }
        for repo in sorted(info.repos, key=lambda repo: repo.repo_path)
    ]
    unreferenced = _shared_blobs.unreferenced_shared_blobs(root)
    return {
        "size": info.size_on_disk,
        "repos": repos,
        "incomplete": sorted([below(file.file_path, root), file.size_on_disk] for file in info.incomplete_files),
        "unreferenced": sorted([below(path, root), size] for path, size in unreferenced.items()),
        "warnings": [str(warning) for warning in info.warnings],
    }


def find(cache: Path, repo_type: str, repo_id: str, revision: str, *paths: str) -> object:
    found = {}
    for path in paths:
        known = try_to_load_from_cache(repo_id, path, cache, revision, repo_type)
        known = below(known, cache) if isinstance(known, str) else "absent" if known is not None else None
        try:
            offline = hf_hub_download(repo_id, path, repo_type=repo_type, revision=revision, cache_dir=cache,
                                      local_files_only=True)
            contents = Path(offline).read_text()
            offline = below(offline, cache)
        except huggingface_hub.errors.LocalEntryNotFoundError:
            offline = contents = None
        found[path] = {"known": known, "offline": offline, "contents": contents}
    return found


def verify(cache: Path, repo_type: str, repo_id: str, commit: str) -> object:
    folder = cache / repo_folder_name(repo_id=repo_id, repo_type=repo_type) / "snapshots" / commit
    result = {"matching": [], "mismatched": []}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            name = os.path.basename(os.readlink(path))
            found = compute_file_hash(path, "sha256" if len(name) == 64 else "git-sha1")
            result["matching" if found == name else "mismatched"].append(below(path, folder))
    return result


def listing(cache: Path, repo_type: str, repo_id: str, commit: str, copy: str) -> object:
    folder = str(cache / repo_folder_name(repo_id=repo_id, repo_type=repo_type))
    entries = read_tree_cache(folder, commit)
    write_tree_cache(folder, copy, entries or {})
    return entries and {path: entry.to_json() for path, entry in entries.items()}


def download(cache: Path, files: list[dict] | None = None) -> object:
    pointers = []
    for file in json.load(sys.stdin) if files is None else files:
        contents = file["text"].encode()
        xet = XetFileData(file_hash=file["xet_hash"], refresh_route="") if file["xet_hash"] else None
        metadata = ("https://example.com/x", file["etag"], file["commit"], len(contents), xet, None)

        def http_get(_url: str, temp_file, *, contents: bytes = contents, **_: object) -> None:
            temp_file.write(contents)

        def xet_get(*, incomplete_path: Path, contents: bytes = contents, **_: object) -> None:
            incomplete_path.write_bytes(contents)

        with (
            mock.patch.object(file_download, "_get_metadata_or_catch_error", lambda metadata=metadata, **_: metadata),
            mock.patch.object(file_download, "http_get", http_get),
            mock.patch.object(file_download, "xet_get", xet_get),
            mock.patch.object(file_download, "is_xet_available", lambda: True),
        ):
            pointers.append(hf_hub_download(file["repo_id"], file["path"], repo_type=file["repo_type"],
                                            revision=file["revision"], cache_dir=cache))
    return [below(pointer, cache) for pointer in pointers]


def delete(cache: Path, *commits: str, execute: bool) -> object:
    strategy = scan_cache_dir(cache).delete_revisions(*commits)
    if execute:
        strategy.execute()
    return {"expected_freed": strategy.expected_freed_size}


def prune(cache: Path) -> object:
    from huggingface_hub.cli import hf

    status = 0
    with mock.patch.object(sys, "argv", ["hf", "cache", "prune", "--yes", "--cache-dir", str(cache)]):
        with mock.patch.object(sys, "stdout", sys.stderr):
            try:
                hf.main()
            except SystemExit as exit:
                status = exit.code or 0
    return {"status": status}


def lock(cache: Path, repo_type: str, repo_id: str, etag: str, seconds: str | None = None) -> object:
    path = cache / ".locks" / repo_folder_name(repo_id=repo_id, repo_type=repo_type) / f"{etag}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(path, timeout=float(seconds) if seconds else None):
            print('"locked"', flush=True)
            sys.stdin.read()
    except Exception as error:  # filelock's Timeout
        return type(error).__name__
    return "released"


COMMANDS = {
    "scan": scan,
    "find": find,
    "verify": verify,
    "listing": listing,
    "download": download,
    "plan": lambda *arguments: delete(*arguments, execute=False),
    "delete": lambda *arguments: delete(*arguments, execute=True),
    "prune": prune,
    "lock": lock,
}


def serve() -> None:
    """Importing takes a second, and the tests ask a hundred times."""
    for line in sys.stdin:
        request = json.loads(line)
        arguments = request["arguments"]
        if request["command"] == "download":
            arguments = [request["files"]]
        with mock.patch.object(huggingface_hub.constants, "HF_HUB_DISABLE_SYMLINKS", not request["symlinks"]):
            result = COMMANDS[request["command"]](Path(request["cache"]), *arguments)
        print(json.dumps(result), flush=True)


def main() -> None:
    if sys.argv[1:] == ["version"]:
        print(json.dumps(huggingface_hub.__version__))
        return
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    result = COMMANDS[sys.argv[1]](Path(sys.argv[2]).resolve(), *sys.argv[3:])
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
