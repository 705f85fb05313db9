"""What the book adds to a Jupyter server that finds this folder on JUPYTER_CONFIG_PATH."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from keep_wording import keep_wording  # noqa: E402

c = get_config()  # noqa: F821 (Jupyter runs this file with it)
c.ContentsManager.pre_save_hook = keep_wording
