"""The teacher's tokens of every view of every pair, computed once and mapped from disk, as its embeddings are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from edgevl_train.data.cache import Cache
from edgevl_train.data.embeddings import Encoding, store_views
from edgevl_train.data.views import Views
from edgevl_train.teacher.model import Teacher
from edgevl_train.teacher.tokens import encode_tokens, token_width


def embed_tokens(
    teacher: Teacher,
    cache: Cache,
    views: Views,
    directory: Path,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    only_full: NDArray[np.int64] | None = None,
    fabric: Fabric | None = None,
) -> NDArray[np.float16]:
    """(K, N, P * T) float16, see :func:`edgevl_train.teacher.tokens.encode_tokens`; else as ``embed_views``.

    The files are ``teacher_tokens.*``.
    """
    encoding = Encoding(
        "teacher_tokens", token_width(teacher), lambda shown: encode_tokens(teacher, shown.rgb(teacher.device))
    )
    return store_views(encoding, teacher, cache, views, directory, on_progress, only_full, fabric)
