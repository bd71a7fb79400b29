"""Reading campaign files: every mistake with its line and column, contradictions between the keys too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from redoxa.pipeline.campaign.contradictions import contradictions
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.yaml_file import Kind, Mistake, mistakes_of, name_after, read_document

CAMPAIGN: Final = Kind("campaign file", "`redoxa init {path}` writes an example there.")


def read_spec(path: Path) -> CampaignSpec:
    """Read and validate a campaign file.

    Raises:
        InputError: one message with every mistake on a line of its own, each as ``file:line:column: what. What to do``.
    """
    document = read_document(path, CAMPAIGN)
    try:
        spec = CampaignSpec.model_validate({"name": name_after(path), **document.data})
    except ValidationError as error:
        document.refuse(mistakes_of(error, CampaignSpec))
        raise
    document.refuse(Mistake(where, text) for where, text in contradictions(spec))
    return spec
