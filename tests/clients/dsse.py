"""Checks and makes DSSE envelopes with securesystemslib, which knows nothing of ours.

dsse.py verify ENVELOPE THRESHOLD PUBLIC_KEY...   prints the payload; exit code 1 when too few have signed
dsse.py sign PAYLOAD TYPE PRIVATE_KEY ENVELOPE    writes an envelope around a file
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey


def verify(envelope, threshold, *keys):
    held = Envelope.from_dict(json.loads(Path(envelope).read_text()))
    keys = [SSlibKey.from_crypto(load_pem_public_key(Path(key).read_bytes())) for key in keys]
    # It finds keys by their names, and ours are named otherwise.
    for key, signature in zip(keys, held.signatures.values(), strict=True):
        key.keyid = signature.keyid
    try:
        held.verify(keys, int(threshold))
    except VerificationError as error:
        sys.exit(f"not verified: {error}")
    print(held.payload.decode())


def sign(payload, kind, key, envelope):
    made = Envelope(Path(payload).read_bytes(), kind, {})
    made.sign(CryptoSigner(load_pem_private_key(Path(key).read_bytes(), None)))
    Path(envelope).write_text(json.dumps(made.to_dict()))


{"verify": verify, "sign": sign}[sys.argv[1]](*sys.argv[2:])
