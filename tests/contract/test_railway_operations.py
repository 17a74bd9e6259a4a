"""Every document that we send to Railway is valid by Railway's own types, and a wrong one is not."""

import pytest
from graphql import parse, validate

from skyscale.services import railway_operations as operations
from tests.contract.railway_server import SCHEMA


@pytest.mark.parametrize("document", operations.ALL)
def test_a_document_is_valid(document: str) -> None:
    assert validate(SCHEMA, parse(document)) == []


def test_every_document_is_in_the_list() -> None:
    documents = {value for name, value in vars(operations).items() if name.isupper() and isinstance(value, str)}
    assert documents == set(operations.ALL)


@pytest.mark.parametrize(
    "document",
    [
        operations.LIST.replace("serviceName", "serviceTitle"),
        operations.DEPLOY.replace("$environment: String!", "$environment: Int!"),
        operations.STOP.replace("deploymentStop", "deploymentHalt"),
        operations.CREATE.replace("{ id name }", ""),
    ],
)
def test_a_misspelt_document_is_not(document: str) -> None:
    assert validate(SCHEMA, parse(document))
