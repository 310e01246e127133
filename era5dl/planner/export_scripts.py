"""Templates of exported scripts: a POSIX shell script and a Python script that needs the standard library only."""

SHELL = r"""# Run in the download folder; again, to continue. Files that are complete are left alone.
failed=0

# fetch SOURCE FILE SIZE MD5 ETAG
fetch() {
    if [ -f "./$2" ] && [ "$(wc -c < "./$2")" -eq "$3" ]; then return; fi
    mkdir -p "$(dirname "./$2")"
    echo "$2"
    if get "$1" "./$2.partial" "$5" && right "./$2.partial" "$3" "$4"; then
        mv "./$2.partial" "./$2"
    else
        echo "failed: $2" >&2
        failed=$((failed + 1))
    fi
}

get() {
    GET
}

# right FILE SIZE MD5: a file of the right size with another MD5 is removed, so that the next run starts it anew
right() {
    [ "$(wc -c < "$1")" -eq "$2" ] || return 1
    [ -n "$3" ] || return 0
    if command -v md5sum > /dev/null; then sum=$(md5sum < "$1"); else sum=$(md5 -q "$1"); fi
    case $sum in "$3"*) return 0 ;; esac
    rm -f "$1"
    return 1
}

CALLS
[ "$failed" -eq 0 ] || { echo "$failed failed; run this script again to continue" >&2; exit 1; }
"""

PYTHON = r'''"""Run in the download folder; again, to continue. Needs Python 3.8 or newer, and nothing else."""

import concurrent.futures
import hashlib
import os
import sys
import time
import urllib.error
import urllib.request

WORKERS = 8
ATTEMPTS = 5
FILES = []


def fetch(path, url, size, md5, etag):
    """Download one file; return "" or the reason why it failed."""
    if os.path.isfile(path) and os.path.getsize(path) == size:
        return ""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial, reason = path + ".partial", ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2**attempt)
        try:
            receive(url, partial, size, etag)
        except (OSError, urllib.error.URLError, ValueError) as error:
            reason = str(error)
            continue
        if os.path.getsize(partial) != size:
            reason = "the connection ended early"
        elif md5 and md5_of(partial) != md5:
            reason = "another MD5 than the server's"
            os.remove(partial)
        else:
            os.replace(partial, path)
            return ""
    return reason


def receive(url, partial, size, etag):
    """Append the missing bytes to a partial file."""
    held = os.path.getsize(partial) if os.path.exists(partial) else 0
    if held > size:
        os.remove(partial)
        held = 0
    if held == size:
        open(partial, "ab").close()
        return
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % held} if held else {})
    if etag:
        request.add_header("If-Match", etag)
    with urllib.request.urlopen(request, timeout=60) as response:
        if held and response.status != 206:
            held = 0
        with open(partial, "r+b" if held else "wb") as file:
            file.seek(held)
            while True:
                block = response.read(1 << 20)
                if not block:
                    break
                file.write(block)


def md5_of(path):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def main():
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = {pool.submit(fetch, *file): file[0] for file in FILES}
        for number, job in enumerate(concurrent.futures.as_completed(jobs), start=1):
            reason = job.result()
            failed += bool(reason)
            print("%d/%d %s%s" % (number, len(FILES), jobs[job], ": failed: " + reason if reason else ""), flush=True)
    if failed:
        sys.exit("%d failed; run this script again to continue" % failed)


if __name__ == "__main__":
    main()
'''
