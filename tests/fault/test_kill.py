"""kill -9 of berthd at random moments: what was acknowledged is there.

Clients push blobs, manifests and tags and note every acknowledgement in a
ledger.  berthd is killed at a random moment, started again, and everything in
the ledger must be there, byte for byte; interrupted uploads are continued
from the offset that the server tells.
"""

import os
import random
import time

from conftest import Berthd
from ledger import Ledger, Pushers, check, resume

ROUNDS = 200 if os.environ.get("BERTH_LONG") else 12


def test_kill_at_random_moments(tmp_path):
    seed = int(os.environ.get("BERTH_SEED", time.time_ns()))
    print(f"seed {seed} (BERTH_SEED), {ROUNDS} rounds")
    rng = random.Random(seed)
    server = Berthd(tmp_path / "data", "--log-level", "error")
    resumed = checked = 0
    for _ in range(ROUNDS):
        ledger = Ledger()
        pushers = Pushers(server, ledger, rng)
        time.sleep(rng.uniform(0.05, 0.8))
        server.kill()
        pushers.join()
        assert not ledger.broken
        server.start()
        http = server.client()
        check(http, ledger)
        resumed += resume(http, ledger)
        check(http, ledger)  # with the resumed ones
        checked += len(ledger.blobs) + len(ledger.manifests)
        http.close()
    print(f"{checked} objects checked, {resumed} uploads resumed")
    assert checked > 0 and resumed > 0
    assert not list((tmp_path / "data" / "trash").iterdir())
    server.stop()
