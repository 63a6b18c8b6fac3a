"""The training cache: bags decoded once into memory-mapped uint8 images.

``build`` decodes, ``parts`` keeps what is done of a build, ``layout`` says what is in the files and opens them,
``bags`` finds and names the bags.
"""

from edgevl_train.data.cache.bags import check_recorded_once, check_test_bags, find_bags, hash_bag
from edgevl_train.data.cache.build import build_cache
from edgevl_train.data.cache.layout import INDEX, Cache, cache_key, open_cache

__all__ = [
    "INDEX",
    "Cache",
    "build_cache",
    "cache_key",
    "check_recorded_once",
    "check_test_bags",
    "find_bags",
    "hash_bag",
    "open_cache",
]
