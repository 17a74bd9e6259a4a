"""What the doctor says of ports and credentials."""

import socket

from skyscale.cli.doctor_host import facts


def test_a_taken_port_and_half_a_credential_are_told_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = {fact.name: fact for fact in facts({"PORT": str(port), "MODAL_TOKEN_ID": "x", "HF_TOKEN": "y"})}
    control_plane = found["port of the control plane"]
    assert (control_plane.is_there, str(port) in control_plane.says, bool(control_plane.advice)) == (False, True, True)
    assert found["credentials of huggingface"].is_there
    modal = found["credentials of modal"]
    assert (modal.is_there, modal.says) == (False, "half set: MODAL_TOKEN_SECRET missing")
    assert found["credentials of ray"].says == "not set"
    assert all(fact.is_there or fact.advice for fact in found.values())
    assert not facts({"PORT": "many"})[0].is_there
