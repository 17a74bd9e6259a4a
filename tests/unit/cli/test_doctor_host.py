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


def test_either_of_railways_tokens_will_do_and_a_bucket_needs_no_keys_where_the_machine_has_them() -> None:
    def says(**environment: str) -> dict[str, str]:
        return {fact.name.removeprefix("credentials of "): fact.says for fact in facts(environment)}

    assert says()["railway"] == says()["s3"] == "not set"
    assert says(RAILWAY_TOKEN="x")["railway"] == "set"
    half = "half set: RAILWAY_PROJECT_ID, RAILWAY_ENVIRONMENT_ID missing"
    assert says(RAILWAY_API_TOKEN="x")["railway"] == half
    assert says(RAILWAY_API_TOKEN="x", RAILWAY_PROJECT_ID="p", RAILWAY_ENVIRONMENT_ID="e")["railway"] == "set"
    assert says(S3_BUCKET="b")["s3"] == "set"
