"""pgrok and pgrokd as if both were Drip's: everything through a tunnel, on both transports."""

import pytest

from lib import drip_cases
from lib.drip_rig import OurPair
from lib.net import eventually

OVER_WSS = [(c, "http") for c in (drip_cases.case_live, drip_cases.case_websocket, drip_cases.case_upload,
                                  drip_cases.case_download, drip_cases.case_parallel, drip_cases.case_slow_reader)]


@pytest.mark.parametrize("case", drip_cases.MATRIX, ids=drip_cases.name_of)
def test_matrix(lab, certs, case):
    fn, kind = case
    fn(OurPair(lab, certs), kind)


@pytest.mark.parametrize("case", OVER_WSS, ids=drip_cases.name_of)
def test_wss(lab, certs, case):
    fn, kind = case
    fn(OurPair(lab, certs, client_kw={"transport": "wss"}), kind)


@pytest.mark.parametrize("engine", ["direct", "bufferevent"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.threads
def test_workers(lab, certs, engine, workers):
    rig = OurPair(lab, certs, server_kw={"engine": engine, "workers": workers})
    drip_cases.case_parallel(rig, "http", 20)


def test_server_restarted(lab, certs):
    """The client comes back with its name."""
    rig = OurPair(lab, certs)
    way = rig.tunnel(lab.site(), name="stays")
    rig.server.kill()
    rig.client.allow(".*")
    rig.server = lab.again(rig.server)

    def served():
        try:
            return way.get("/").status == 200
        except OSError:
            return False
    assert eventually(served)
