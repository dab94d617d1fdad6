"""How long our whole chain of detectors takes for a clean text, beside a rule engine from PyPI, in one run.

    python3 -m venv V && V/bin/pip install detect-secrets==1.5.0
    cargo build --release -p inspect --example evaluate
    V/bin/python crates/inspect/examples/yardstick.py target/release/examples/evaluate DATA

detect-secrets looks for secrets alone; ours looks for injection, secrets, personal data and hidden characters.
Both are processor time of one thread, the best of several runs on the same bytes.
"""

import json
import pathlib
import re
import subprocess
import sys
import time

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import default_settings

SOURCES = ["docs_general", "injecagent_simresp", "llmail_emails", "piarena_clean"]


def clean_text(folder: pathlib.Path) -> str:
    texts = []
    for source in SOURCES:
        with open(folder / "benign" / f"{source}.jsonl", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    return "\n".join(texts)[:10_240]


def detect_secrets_seconds(text: str) -> float:
    best = float("inf")
    with default_settings():
        for _ in range(5):
            start = time.process_time()
            for line in text.split("\n"):
                list(scan_line(line))
            best = min(best, time.process_time() - start)
    return best


def our_seconds(program: str, folder: pathlib.Path) -> float:
    said = subprocess.run([program, folder, "speed"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"clean +10240 bytes +([0-9.]+) ns/byte", said)
    return float(found.group(1)) * 10_240 / 1e9


def main() -> None:
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    ours, theirs = our_seconds(program, folder), detect_secrets_seconds(clean_text(folder))
    print(f"clean 10 kB: sallyport {ours * 1e6:.0f} us, detect-secrets {theirs * 1e6:.0f} us, {theirs / ours:.0f} to 1")


main()
