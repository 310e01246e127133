"""Requests of the Copernicus Climate Data Store (CDS): parsing, and translation to selections of this bucket.

`from_cds` takes the requests out of a text (JSON, a Python dict, or a whole script, which is never executed), and says
what each of them is in the bucket, and what the bucket cannot give.
"""

from era5dl.cds.read import MAX_TEXT
from era5dl.cds.request import CdsItem, CdsRequest, Note, Status
from era5dl.cds.translation import Translation, from_cds

__all__ = ["MAX_TEXT", "CdsItem", "CdsRequest", "Note", "Status", "Translation", "from_cds"]
