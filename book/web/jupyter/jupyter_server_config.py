"""What the book adds to a Jupyter server that finds this folder on JUPYTER_CONFIG_PATH."""

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOK = HERE.parents[1]
sys.path.insert(0, str(HERE))

from keep_wording import keep_wording  # noqa: E402
from whole_book import citations, labels, warm_ups  # noqa: E402

c = get_config()  # noqa: F821 (Jupyter runs this file with it)
# Jupytext makes the contents manager anew, which sets the hook a second time.
warnings.filterwarnings("ignore", message="Overriding existing pre_save_hook")
c.ContentsManager.pre_save_hook = keep_wording
c.LabServerApp.extra_labextensions_path = [str(HERE / "labextensions")]
# What JupyterLab's page hands to the extension in that folder.
c.ServerApp.tornado_settings = {
    "page_config_data": {
        "book": {
            "labels": labels(BOOK),
            "citations": citations(BOOK / "references.bib"),
            "warmUps": warm_ups(BOOK),
        }
    }
}
