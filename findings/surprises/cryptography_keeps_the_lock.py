"""Before version 47 cryptography keeps Python's lock while it verifies: other threads wait for all of it.

Here no thread is made to give the lock away (the switch interval is five seconds), so that the main thread
only runs where the verifying one releases it. 46.0.7: 0 times, 47.0.0: 1,853 times, 50.0.2: 1,847 times.
"""

import sys
import threading
import time

import cryptography
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

TIMES = 2000
sys.setswitchinterval(5)
key = ec.generate_private_key(ec.SECP256R1())
scheme = ec.ECDSA(SHA256())
signature = key.sign(b"content", scheme)
begun, ended = threading.Event(), threading.Event()


def verify() -> None:
    begun.set()
    for _ in range(TIMES):
        key.public_key().verify(signature, b"content", scheme)
    ended.set()


threading.Thread(target=verify).start()
begun.wait()
ran = 0
while not ended.is_set():
    ran += 1
    time.sleep(0)
print(f"cryptography {cryptography.__version__}: the main thread ran {ran} times in {TIMES} verifications")
