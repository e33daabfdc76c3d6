"""Hands compared with a data set's annotations: what the command `eval-hands` reports.

```python
import json
from pathlib import Path

from datasets.evaluation import evaluate, open_estimates
from datasets.readers import open_dataset
from datasets.synthetic import SyntheticRequest, write_dataset

list(write_dataset(SyntheticRequest(Path("evaluated"), 2, seed=0, size=64)))
images = open_dataset("synthetic", "evaluated")
hands = [images.annotation(place).hands[0].keypoints_3d + 0.01 for place in range(2)]
Path("pred.json").write_text(json.dumps([[hand.tolist() for hand in hands]]))  # or a store
found = evaluate(open_estimates("pred.json", images), images)
assert round(found.whole.figures["mpjpe_mm"], 3) == 17.321  # 10 mm along x, y and z
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fitter.lazy import lazy_face

if TYPE_CHECKING:
    from datasets.evaluation.evaluating import evaluate
    from datasets.evaluation.evaluation import Evaluation, Part
    from datasets.evaluation.freihand_protocol import FreiHandEvaluation, freihand_evaluation
    from datasets.evaluation.measures import MEASURES
    from datasets.evaluation.options import EvaluationOptions
    from datasets.evaluation.paper_tables import paper_table
    from datasets.evaluation.plots import write_plots
    from datasets.evaluation.records import EstimatedHand, EstimatedImage, Estimates
    from datasets.evaluation.sources import open_estimates, stored_dataset
    from datasets.evaluation.table import FORMATS, Table, tables_text

__all__ = [
    "FORMATS",
    "MEASURES",
    "EstimatedHand",
    "EstimatedImage",
    "Estimates",
    "Evaluation",
    "EvaluationOptions",
    "FreiHandEvaluation",
    "Part",
    "Table",
    "evaluate",
    "freihand_evaluation",
    "open_estimates",
    "paper_table",
    "stored_dataset",
    "tables_text",
    "write_plots",
]

_HOMES = {
    "EstimatedHand": "records",
    "EstimatedImage": "records",
    "Estimates": "records",
    "Evaluation": "evaluation",
    "EvaluationOptions": "options",
    "FORMATS": "table",
    "FreiHandEvaluation": "freihand_protocol",
    "MEASURES": "measures",
    "Part": "evaluation",
    "Table": "table",
    "evaluate": "evaluating",
    "freihand_evaluation": "freihand_protocol",
    "open_estimates": "sources",
    "paper_table": "paper_tables",
    "stored_dataset": "sources",
    "tables_text": "table",
    "write_plots": "plots",
}

__getattr__, __dir__ = lazy_face(
    __name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}
)
